// A request as the library's JSON. Whatever JSON would drop or change in silence is refused by its name instead.
'use strict'

/** The JSON of a plain object; fields that are undefined are left out. */
function json(value, name) {
  check(value, name, [])
  return JSON.stringify(value)
}

function check(value, name, above) {
  switch (typeof value) {
    case 'string':
      // The library takes text up to a NUL, so what follows one would be lost; JSON writes it as an escape.
      if (!value.isWellFormed()) throw new TypeError(`${name} is no well-formed text`)
      return
    case 'boolean':
    case 'undefined':
      return
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`${name} must be a finite number`)
      return
    case 'object':
      if (value === null) return
      break
    default:
      throw new TypeError(`${name} must not be a ${typeof value}`)
  }
  if (above.includes(value)) throw new TypeError(`${name} holds itself`)
  const within = [...above, value]
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) {
      if (value[at] === undefined) throw new TypeError(`${name}[${at}] is missing`)
      check(value[at], `${name}[${at}]`, within)
    }
    return
  }
  plain(value, name)
  for (const [key, one] of Object.entries(value)) check(one, `${name}.${key}`, within)
}

/** The value, unless it is a Map, a Headers, a class's object: JSON would make {} of it. */
function plain(value, name) {
  const above = value === null || typeof value !== 'object' ? undefined : Object.getPrototypeOf(value)
  // An object of another realm (vm, a test runner) has that realm's Object.prototype, whose own prototype is null.
  const fits = above === null || (above !== undefined && Object.getPrototypeOf(above) === null && !Array.isArray(value))
  const marked = value != null && (value[Symbol.toStringTag] !== undefined || typeof value.toJSON === 'function')
  if (!fits || marked) {
    const kind = value === null ? 'null' : (value?.constructor?.name ?? typeof value)
    throw new TypeError(`${name} must be a plain object, not ${kind}`)
  }
  return value
}

module.exports = { json, plain }
