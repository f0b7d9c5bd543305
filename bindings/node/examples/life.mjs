// The whole job, step by step with the times: make a sandbox, use it, find it again, destroy it.
import { Backend } from 'sandport'

const say = (text) => console.log(`${performance.now().toFixed(1).padStart(7)} ms  ${text}`)
const onProgress = ({ pull }) => {
  if (pull?.bytes_total) process.stderr.write(`\r            pulling ${Math.floor((100 * pull.bytes_done) / pull.bytes_total)} %`)
}

const backend = new Backend({ image: process.env.SANDPORT_IMAGE ?? 'sandport-test:latest' })
const another = new Backend()
try {
  say(`opened: ${backend.opened.runtime} ${backend.opened.runtime_version}`)
  const box = await backend.create('node-example', { onProgress })
  say(`${box.created ? 'made' : 'found'} ${box.container_name} at ${box.sandbox_url}`)
  const answer = await backend.request(box, {
    method: 'POST',
    path: '/v1/shell/exec',
    json: { command: 'echo hello from $(uname -s)' },
  })
  say(`it said: ${answer.json().data.output.trim()}`)
  const again = await another.discover('node-example')
  say(`another backend sees the same container: ${again?.container_id === box.container_id}`)
  say(`destroyed: ${await backend.destroy(box)}`)
} finally {
  await another.close()
  await backend.close()
}
