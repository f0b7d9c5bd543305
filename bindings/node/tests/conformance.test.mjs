// The cases that all bindings share.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import test from 'node:test'
import { Backend, SandportError } from 'sandport'
import { own } from './rig.mjs'

const folder = new URL('../../conformance/', import.meta.url)
const files = readdirSync(folder).filter((name) => name.endsWith('.json'))
assert.ok(files.length > 0)
const cases = files.sort().flatMap((name) => JSON.parse(readFileSync(new URL(name, folder))))

function fill(value, saved) {
  if (typeof value === 'string') {
    const name = /^\{(\w+)\}$/.exec(value)?.[1]
    return name && name in saved ? saved[name] : value.replaceAll('{id}', saved.id)
  }
  if (Array.isArray(value)) return value.map((one) => fill(one, saved))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, fill(one, saved)]))
}

function holds(answer, expected) {
  if (expected === null || typeof expected !== 'object' || Array.isArray(expected)) {
    return assert.deepEqual(answer, expected)
  }
  for (const [name, value] of Object.entries(expected)) holds(answer[name], value)
}

async function run(backend, step, saved) {
  if (step.call === 'close') return backend.close()
  const seen = []
  const options = step.progress ? { onProgress: (progress) => seen.push(progress) } : {}
  if ('cancel_after_ms' in step) {
    const abort = new AbortController()
    const outcome = backend.call(step.call, fill(step.input, saved), { signal: abort.signal })
    setTimeout(() => abort.abort(), step.cancel_after_ms)
    return outcome.catch((error) => assert.equal(error.name === 'AbortError' ? 'cancelled' : error.code, 'cancelled'))
  }
  const outcome = backend.call(step.call, fill(step.input, saved), options)
  if (step.error) {
    return assert.rejects(outcome, (error) => {
      assert.ok(error instanceof SandportError, error)
      assert.equal(error.code, step.error)
      if ('retryable' in step) assert.equal(error.retryable, step.retryable)
      return true
    })
  }
  const answer = await outcome
  holds(answer, fill(step.expect, saved))
  if (step.progress) assert.ok(seen.length > 0 && seen.every(({ phase }) => phase))
  if (step.save) saved[step.save] = answer
}

for (const one of cases) {
  test(one.name, { timeout: 50_000 }, async (t) => {
    const backend = new Backend({ ...own(t, 31000), ...one.config })
    const saved = { id: `c${randomBytes(5).toString('hex')}` }
    for (const step of one.steps) await run(backend, step, saved)
    if (!one.no_list) {
      for (const left of await backend.list()) await backend.destroy(left)
      assert.deepEqual(await backend.list(), [])
    }
    await backend.close()
  })
}
