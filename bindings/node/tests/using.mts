// Checked by tsc, and run by the tests once it is JavaScript.
import { Backend, SandportError, type SandboxInfo } from 'sandport'

export async function use(config: object): Promise<Backend> {
  await using backend = new Backend({ ...config })
  const boxes: SandboxInfo[] = await backend.list({ signal: AbortSignal.timeout(20_000) })
  if (boxes.length > 0) throw new Error('not empty')
  // @ts-expect-error a sandbox is named by its id or its info
  const wrong = await backend.destroy(5).catch((error: unknown) => error)
  if (!(wrong instanceof TypeError) || wrong instanceof SandportError) throw new Error('not refused')
  return backend
}
