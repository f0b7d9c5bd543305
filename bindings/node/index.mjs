// The same module for `import`: one set of classes, whichever way it is loaded.
import sandport from './index.cjs'

export const { Backend, Response, SandportError, version, allocatePort, releasePort, setLog } = sandport
