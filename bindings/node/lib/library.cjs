// Finds the shared library, checks that it speaks our ABI, and declares its functions: text in, objects out.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const koffi = require('koffi')
const { SandportError } = require('./errors.cjs')

const ABI = 1
const OK = 0
const NOT_READY = 9
const OPERATIONS = {
  create: 1, destroy: 2, discover: 3, is_alive: 4, list: 5, request: 6, release: 7, reap: 8, wait_ready: 9,
}

class Library {
  constructor(file) {
    this.path = file
    const lib = open(file)
    const version = lib.func('uint32_t sandport_abi_version()')()
    if (version !== ABI) {
      throw new Error(`${file} speaks version ${version} of the ABI, this package version ${ABI}: install a pair of one release`)
    }
    // koffi copies such a string and then calls the free function, in out-parameters too.
    const free = lib.func('void sandport_string_free(void *string)')
    const Owned = koffi.disposable('char*', free)
    const text = koffi.out(koffi.pointer(Owned))
    const number = koffi.out(koffi.pointer('uint64_t'))
    const int = koffi.out(koffi.pointer('int32_t'))
    const declare = (name, ...types) => lib.func(`sandport_${name}`, 'int32_t', types)

    this.version = lib.func('const char *sandport_version()')
    this.functions = {
      backend_open: declare('backend_open', 'str', number, text),
      backend_close: declare('backend_close', 'uint64_t'),
      call_start: declare('call_start', 'uint64_t', 'uint64_t', 'uint32_t', 'str', number, text),
      call_cancel: declare('call_cancel', 'uint64_t'),
      call_progress: declare('call_progress', 'uint64_t', text),
      queue_open: declare('queue_open', number, int, text),
      queue_next: declare('queue_next', 'uint64_t', number, int, text),
      queue_close: declare('queue_close', 'uint64_t'),
      allocate_port: declare('allocate_port', 'str', text),
      release_port: declare('release_port', 'str', text),
      set_log: declare('set_log', 'str', text),
    }
  }

  /** Opens a backend: [handle, what opening answered]. */
  backendOpen(config) {
    const backend = [0]
    const response = [null]
    this.functions.backend_open(config, backend, response)
    const opened = result(response[0])
    return [backend[0], opened]
  }

  backendClose(backend) {
    this.functions.backend_close(backend)
  }

  /** Starts an operation by its name; returns the call's handle. */
  callStart(backend, queue, operation, request) {
    const call = [0]
    const response = [null]
    this.functions.call_start(backend, queue, OPERATIONS[operation], request, call, response)
    result(response[0])
    return call[0]
  }

  callCancel(call) {
    this.functions.call_cancel(call)
  }

  /** How far a call is; null when its result has been delivered. */
  callProgress(call) {
    const response = [null]
    return this.functions.call_progress(call, response) === OK ? result(response[0]) : null
  }

  /** Opens a queue: [handle, descriptor]. */
  queueOpen() {
    const queue = [0]
    const fd = [-1]
    const response = [null]
    this.functions.queue_open(queue, fd, response)
    result(response[0])
    return [queue[0], fd[0]]
  }

  /** The next result as {call, text}, null when there is none. */
  queueNext(queue) {
    const call = [0]
    const status = [-1]
    const response = [null]
    const told = this.functions.queue_next(queue, call, status, response)
    if (told === NOT_READY) return null
    if (told !== OK) result(response[0])
    return { call: call[0], text: response[0] }
  }

  queueClose(queue) {
    this.functions.queue_close(queue)
  }

  /** A function that takes no handle: allocate_port, release_port, set_log. */
  plain(name, request) {
    const response = [null]
    this.functions[name](request, response)
    return result(response[0])
  }
}

/** The object of an answer; throws the error that stands in it. */
function result(text) {
  const answer = JSON.parse(text ?? '{}')
  if (answer.error) throw new SandportError(answer.error)
  return answer
}

const bundled = path.join(__dirname, '..', process.platform === 'darwin' ? 'libsandport.dylib' : 'libsandport.so.0')
const plain = process.platform === 'darwin' ? 'libsandport.dylib' : 'libsandport.so.0'

/** One rule, the same in every binding: the path that was given, SANDPORT_LIBRARY, the bundled file, the loader's. */
function find(given) {
  return given || process.env.SANDPORT_LIBRARY || (fs.existsSync(bundled) ? bundled : plain)
}

function open(file) {
  try {
    return koffi.load(file)
  } catch (cause) {
    throw new Error(
      `${file} cannot be loaded: set SANDPORT_LIBRARY to the library's path, or put ${plain} where the system's loader looks`,
      { cause },
    )
  }
}

const loaded = new Map()

/** The library of that path, loaded once in each thread of Node's. */
function library(given) {
  const file = find(given)
  if (!loaded.has(file)) loaded.set(file, new Library(file))
  return loaded.get(file)
}

module.exports = { library, result }
