// What the tests share: the image, a prefix, ports and a state directory of each test's own, nothing left at the end.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Backend } from 'sandport'

let number = 0

/** A config for one test; what it leaves is destroyed, and is a failure unless `mayLeave`. */
export function own(test, first, { mayLeave = false } = {}) {
  const state = mkdtempSync(join(tmpdir(), 'sandport-node-'))
  const config = {
    image: process.env.SANDPORT_TEST_IMAGE ?? 'sandport-test:latest',
    container_prefix: `node${process.pid}n${number}`,
    base_port: first + 20 * number++,
    port_count: 60,
    state_dir: state,
    stop_timeout_seconds: 1,
  }
  test.after(async () => {
    const backend = new Backend(config)
    const left = await backend.list()
    for (const one of left) await backend.destroy(one.sandbox_id)
    await backend.close()
    rmSync(state, { recursive: true })
    if (!mayLeave) assert.deepEqual(left, [], 'the test left sandboxes behind')
  })
  return config
}
