// What a failure is: one class, whose `code` tells what happened and whose `hint` tells what to do.
'use strict'

class SandportError extends Error {
  constructor({ code, message, hint = null, phase = null, runtime = null, retryable = false, details = {} }) {
    super(hint ? `${message} (${hint})` : message)
    this.code = code
    this.reason = message
    this.hint = hint
    this.phase = phase
    this.runtime = runtime
    this.retryable = retryable
    this.details = details ?? {}
  }
}
// Not an own field: it would stand in each printed error beside the code.
Object.defineProperty(SandportError.prototype, 'name', { value: 'SandportError' })

/** A use after close. */
function closed() {
  return new SandportError({
    code: 'invalid_handle',
    message: 'the backend is closed',
    hint: 'open a new one',
  })
}

module.exports = { SandportError, closed }
