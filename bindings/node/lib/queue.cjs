// The library's queue in Node's own event loop: its descriptor in a net.Socket, no thread, no pool, no polling.
'use strict'

const net = require('node:net')
const { isMainThread } = require('node:worker_threads')
const { result } = require('./library.cjs')

const PROGRESS_MS = 100

/** One for each library and thread, while a backend is open or a call runs. */
class Queue {
  constructor(library) {
    this.library = library
    this.users = 0
    this.calls = new Map()
    const [number, fd] = library.queueOpen()
    this.number = number
    this.socket = new net.Socket({ fd, readable: true, writable: false })
    this.socket.unref()
    this.socket.on('data', () => this.deliver())
    this.socket.on('error', () => this.deliver())
  }

  /** Runs an operation; the promise settles when the library has delivered its result. */
  start(backend, operation, request, { signal, onProgress }) {
    if (signal?.aborted) return Promise.reject(signal.reason)
    const { promise, resolve, reject } = withResolvers()
    let number
    try {
      number = this.library.callStart(backend, this.number, operation, request)
    } catch (error) {
      return Promise.reject(error)
    }
    const call = { settle: null }
    const cancel = () => this.library.callCancel(number)
    signal?.addEventListener('abort', cancel, { once: true })
    let broken = null // what the caller's own onProgress threw, as [error]
    const report = () => {
      const progress = this.library.callProgress(number)
      if (progress === null) return
      try {
        onProgress(progress)
      } catch (error) {
        broken = [error]
        clearInterval(timer)
        cancel()
      }
    }
    const timer = onProgress && setInterval(report, PROGRESS_MS).unref()
    call.settle = (text) => {
      clearInterval(timer)
      signal?.removeEventListener('abort', cancel)
      try {
        const answer = result(text)
        if (broken) reject(broken[0])
        else resolve(answer)
      } catch (error) {
        reject(broken ? broken[0] : told(error, signal))
      }
    }
    // Its result may be there already; it is fetched by an event of the socket, which comes later in this thread.
    if (this.calls.size === 0) this.socket.ref()
    this.calls.set(number, call)
    return promise
  }

  deliver() {
    for (let next; this.number && (next = this.library.queueNext(this.number)) !== null; ) {
      const call = this.calls.get(next.call)
      this.calls.delete(next.call)
      call?.settle(next.text)
    }
    if (this.calls.size === 0) this.socket.unref()
    this.rest()
  }

  /** Gives everything back once nobody needs it. */
  rest() {
    if (this.users > 0 || this.calls.size > 0 || !this.number) return
    queues.delete(this.library)
    this.end()
  }

  end() {
    this.library.queueClose(this.number)
    this.number = 0
    this.socket.destroy()
  }
}

/** A cancelled call ends with the signal's reason, as fetch does, unless the library has something to add. */
function told(error, signal) {
  if (error.code !== 'cancelled' || !signal?.aborted) return error
  if (Object.keys(error.details).length === 0) return signal.reason
  error.cause = signal.reason
  return error
}

function withResolvers() {
  const made = {}
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}

const queues = new Map()

/** This thread's queue, taken by a backend that gives it back with leave(). */
function join(library) {
  if (!queues.has(library)) queues.set(library, new Queue(library))
  const queue = queues.get(library)
  queue.users++
  return queue
}

function leave(queue) {
  queue.users--
  queue.rest()
}

// A worker may end while the process lives on: what it left running is cancelled.
if (!isMainThread) {
  process.once('exit', () => {
    for (const queue of queues.values()) queue.end()
  })
}

module.exports = { join, leave }
