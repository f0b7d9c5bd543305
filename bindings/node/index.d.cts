/** Sandbox containers on the machine Node runs on. Fields bear the names of the library's JSON. */

export interface Config {
  image?: string
  runtime?: string
  endpoint?: string
  container_prefix?: string
  base_port?: number
  port_count?: number
  state_dir?: string
  environment?: Record<string, string>
  [field: string]: unknown
}

export interface SandboxInfo {
  sandbox_id: string
  sandbox_url: string
  container_name: string
  container_id: string
  created_at: number | null
  runtime: string
  state: string
  created: boolean | null
  spec_matches: boolean | null
  leased: boolean | null
  [field: string]: unknown
}

export interface CreateRequest {
  sandbox_id?: string
  thread_id?: string
  user_id?: string
  image?: string
  command?: string[]
  extra_mounts?: { host_path: string; container_path: string; read_only?: boolean }[]
  environment?: Record<string, string>
  labels?: Record<string, string>
  resources?: Record<string, number>
  ready_timeout_seconds?: number
}

export interface Progress {
  phase: string
  elapsed_seconds: number
  cancelling: boolean
  pull: { layers_done: number; layers_total: number; bytes_done: number; bytes_total: number | null } | null
}

export interface Options {
  /** Cancels the call; the promise then rejects with the signal's reason, or ends as it would have. */
  signal?: AbortSignal
  /** Called about ten times a second; what it throws cancels the call. */
  onProgress?: (progress: Progress) => void
}

export interface HttpOptions extends Options {
  method?: string
  path: string
  headers?: Record<string, string>
  body?: string | ArrayBufferView
  json?: unknown
  timeout_seconds?: number
  max_response_bytes?: number
}

export class Response {
  readonly status: number
  readonly headers: Record<string, string[]>
  readonly body: Buffer
  readonly ok: boolean
  text(): string
  json(): any
}

export class SandportError extends Error {
  readonly code: string
  /** The message without the hint. */
  readonly reason: string
  readonly hint: string | null
  readonly phase: string | null
  readonly runtime: string | null
  readonly retryable: boolean
  readonly details: Record<string, unknown>
}

/** An id (whatever bears the name now) or an info (that very container). */
export type Sandbox = string | SandboxInfo

export class Backend implements AsyncDisposable {
  /** Opening waits for the engine's first answer: milliseconds, longer only where an engine hangs. */
  constructor(config?: Config, options?: { library?: string })
  readonly opened: Record<string, unknown>
  readonly features: Set<string>
  create(request?: string | CreateRequest, options?: Options): Promise<SandboxInfo>
  destroy(sandbox: Sandbox, options?: Options & { stop_timeout_seconds?: number }): Promise<boolean>
  discover(sandbox: Sandbox, options?: Options): Promise<SandboxInfo | null>
  isAlive(sandbox: Sandbox, options?: Options): Promise<boolean>
  list(options?: Options): Promise<SandboxInfo[]>
  request(sandbox: Sandbox, options: HttpOptions): Promise<Response>
  release(sandbox: Sandbox, options?: Options): Promise<boolean>
  reap(
    request: { idle_seconds: number; dry_run?: boolean; include_lost?: boolean },
    options?: Options,
  ): Promise<{ reaped: unknown[]; kept: { sandbox_id: string; reason: string }[] }>
  waitReady(sandboxUrl: string, timeoutSeconds: number, options?: Options): Promise<boolean>
  /** Any operation by its name in the JSON, such as "is_alive". */
  call(operation: string, request?: object, options?: Options): Promise<any>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export function version(): string
export function allocatePort(request?: { start_port?: number; count?: number; bind_host?: string; state_dir?: string }): number
export function releasePort(port: number): boolean
export function setLog(request: { level: 'off' | 'error' | 'warn' | 'info' | 'debug'; path?: string; fd?: number }): void
