// The requests and answers of the methods: what JavaScript says, as the library's JSON.
'use strict'

const { plain } = require('./text.cjs')

/** Names the sandbox of a call: by its id, or by its info, which means that very container. */
function which(sandbox) {
  if (typeof sandbox === 'string') return { sandbox_id: sandbox }
  if (sandbox === null || typeof sandbox !== 'object' || typeof sandbox.sandbox_id !== 'string') {
    throw new TypeError('a sandbox is named by its id (a string) or by its SandboxInfo')
  }
  // The key is a secret that no call needs back.
  return { sandbox: { ...plain(sandbox, 'sandbox'), auth: null } }
}

/** The options that every method has. */
function within(options) {
  const { signal, onProgress, ...more } = plain(options, 'options')
  const [unknown] = Object.keys(more)
  if (unknown !== undefined) throw new TypeError(`options.${unknown} is not known here`)
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new TypeError('options.signal must be an AbortSignal')
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new TypeError('options.onProgress must be a function')
  }
  return { signal, onProgress }
}

/** The request of an HTTP request; `body` is text or bytes, `json` any value. */
function http(sandbox, { body, json, headers, ...more }) {
  if (body !== undefined && json !== undefined) throw new TypeError('give body or json, not both')
  const heads = headers === undefined ? {} : { ...plain(headers, 'headers') }
  const request = { ...more, ...which(sandbox) }
  if (json !== undefined) {
    request.body = JSON.stringify(json)
    if (!Object.keys(heads).some((name) => name.toLowerCase() === 'content-type')) {
      heads['content-type'] = 'application/json'
    }
  } else if (ArrayBuffer.isView(body)) {
    request.body_base64 = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64')
  } else if (body !== undefined) {
    request.body = body
  }
  if (Object.keys(heads).length > 0) request.headers = heads
  return request
}

/** The answer of an HTTP request, whatever its status. */
class Response {
  constructor({ status, headers, body, body_base64 }) {
    this.status = status
    this.headers = headers
    this.body = body_base64 === undefined || body_base64 === null ? Buffer.from(body ?? '') : Buffer.from(body_base64, 'base64')
  }

  get ok() {
    return this.status >= 200 && this.status < 300
  }

  text() {
    return this.body.toString()
  }

  json() {
    return JSON.parse(this.text())
  }
}

module.exports = { http, Response, which, within }
