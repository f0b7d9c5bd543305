// The face: a Backend whose methods are promises.
'use strict'

const { isMainThread } = require('node:worker_threads')
const { closed } = require('./errors.cjs')
const { library } = require('./library.cjs')
const { join, leave } = require('./queue.cjs')
const { http, Response, which, within } = require('./requests.cjs')
const { json, plain } = require('./text.cjs')

// A backend that is forgotten gives its leases back; its handle is a number, so nothing dangles.
const forgotten = new FinalizationRegistry(({ lib, number, queue }) => {
  lib.backendClose(number)
  leave(queue)
})
const open = new Set() // of a worker, whose end closes what it left open

class Backend {
  #lib
  #number
  #queue
  #record
  #running = new Set()

  constructor(config = {}, { library: file } = {}) {
    const text = json(plain(config, 'config'), 'config')
    this.#lib = library(file)
    this.#queue = join(this.#lib)
    try {
      ;[this.#number, this.opened] = this.#lib.backendOpen(text)
    } catch (error) {
      leave(this.#queue)
      throw error
    }
    this.#record = { lib: this.#lib, number: this.#number, queue: this.#queue }
    forgotten.register(this, this.#record, this)
    if (!isMainThread) open.add(this.#record)
  }

  /** What this library can do; ask this, not its version. */
  get features() {
    return new Set(this.opened.features)
  }

  async create(request = {}, options = {}) {
    return this.#run('create', typeof request === 'string' ? { sandbox_id: request } : request, options)
  }

  async destroy(sandbox, options = {}) {
    const { signal, onProgress, ...more } = options
    return (await this.#run('destroy', { ...more, ...which(sandbox) }, { signal, onProgress })).destroyed
  }

  async discover(sandbox, options = {}) {
    return (await this.#run('discover', which(sandbox), options)).sandbox
  }

  async isAlive(sandbox, options = {}) {
    return (await this.#run('is_alive', which(sandbox), options)).alive
  }

  async list(options = {}) {
    return (await this.#run('list', {}, options)).sandboxes
  }

  async request(sandbox, options = {}) {
    const { signal, onProgress, ...more } = options
    return new Response(await this.#run('request', http(sandbox, more), { signal, onProgress }))
  }

  async release(sandbox, options = {}) {
    return (await this.#run('release', which(sandbox), options)).released
  }

  async reap(request, options = {}) {
    return this.#run('reap', request, options)
  }

  async waitReady(sandbox_url, timeout_seconds, options = {}) {
    return (await this.#run('wait_ready', { sandbox_url, timeout_seconds }, options)).ready
  }

  /** Any operation by its name in the JSON; the methods above are this with names. */
  async call(operation, request = {}, options = {}) {
    return this.#run(operation, request, options)
  }

  /** Ends this backend and its leases, cancels its calls and waits for them. The sandboxes live on. */
  async close() {
    if (this.#number) {
      const number = this.#number
      this.#number = 0
      forgotten.unregister(this)
      open.delete(this.#record)
      this.#lib.backendClose(number)
      leave(this.#queue)
    }
    await Promise.allSettled(this.#running)
  }

  async [Symbol.asyncDispose]() {
    await this.close()
  }

  async #run(operation, request, options) {
    const text = json(plain(request, 'the request'), operation)
    const { signal, onProgress } = within(options)
    if (!this.#number) throw closed()
    const running = this.#queue.start(this.#number, operation, text, { signal, onProgress })
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }
}

if (!isMainThread) {
  process.once('exit', () => {
    for (const { lib, number } of open) lib.backendClose(number)
  })
}

module.exports = { Backend }
