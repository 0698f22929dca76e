import { effect, signal } from '@preact/signals'
import { parseRepositoryPath } from '../routes.ts'
import { type Answer, isOffline, revision } from './api.ts'
import { followLeader } from './leader.ts'
import { caller, loadCaller } from './session.ts'

/** A change to content, as the stream sends it. */
interface Change {
  type: string
  repository: string
}

/** The messages from the tab with the stream to the others. */
type Message =
  | { kind: 'change'; change: Change }
  | { kind: 'jobs'; jobs: Jobs }
  | { kind: 'missed' }
  | { kind: 'broken' }
  | { kind: 'account' }
  | { kind: 'hello' }

type Jobs = Answer<'jobs'>['items']

type Tell = (message: Exclude<Message, { kind: 'hello' }>) => void

/** The newest jobs that the stream sent; undefined before the first ones. */
export const liveJobs = signal<Jobs | undefined>(undefined)

/** The shortest interval between two refreshes. */
const REFRESH_MILLISECONDS = 1000

/** How long to wait before a stream that the server has refused is opened again. */
const REOPEN_MILLISECONDS = 10_000

/**
 * Refreshes the page when the server reports a change. HTTP/1.1 allows six connections per host, so the tabs of a
 * browser share one stream: one tab holds it and informs the others.
 */
export function followChanges(): void {
  const channel = new BroadcastChannel('cay-changes')
  channel.onmessage = ({ data }: MessageEvent<Message>) => {
    if (data.kind !== 'hello') receive(data)
    else if (liveJobs.value) channel.postMessage({ kind: 'jobs', jobs: liveJobs.value } satisfies Message)
  }
  channel.postMessage({ kind: 'hello' } satisfies Message)
  const tell: Tell = (message) => {
    channel.postMessage(message)
    receive(message)
  }
  const stream = new ChangeStream(tell)
  followLeader(() => {
    stream.open()
    return () => stream.close()
  })
  let account = caller.peek()?.account
  effect(() => {
    const now = caller.value
    if (now === undefined || now.account === account) return
    account = now.account
    liveJobs.value = undefined
    channel.postMessage({ kind: 'account' } satisfies Message)
    stream.reopen()
  })
}

/** The stream of one browser. */
class ChangeStream {
  private readonly tell: Tell
  private source: EventSource | undefined
  private isOpen = false
  /** The id of the newest change that was received; undefined before the first stream. */
  private lastId: string | undefined

  constructor(tell: Tell) {
    this.tell = tell
  }

  open(): void {
    this.isOpen = true
    // Callers who may see nothing cannot watch either.
    if (!caller.peek()?.catalogAccess) return
    const source = new EventSource('/api/v1/events/watch')
    this.source = source
    const on = <T>(type: string, act: (data: T) => void) =>
      source.addEventListener(type, ({ data }: MessageEvent<string>) => act(JSON.parse(data)))
    on<{ id?: string; millisecondsAgo?: number }>('ready', (ready) => this.start(ready))
    on<Change & { id: string }>('change', (change) => {
      this.lastId = change.id
      this.tell({ kind: 'change', change })
    })
    on<{ items: Jobs }>('jobs', ({ items }) => this.tell({ kind: 'jobs', jobs: items }))
    source.addEventListener('error', () => {
      this.tell({ kind: 'broken' })
      // A browser connects again by itself, unless the server has refused.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.renew(source), REOPEN_MILLISECONDS)
    })
  }

  close(): void {
    this.isOpen = false
    this.source?.close()
    this.source = undefined
  }

  /** Reopens the stream as another caller. */
  reopen(): void {
    if (!this.isOpen) return
    this.close()
    this.open()
  }

  private renew(source: EventSource): void {
    if (this.source === source) this.reopen()
  }

  /**
   * Says so if something has changed unseen: since the stream was lost, or between the first answer that a tab shows and
   * the beginning of the first stream.
   */
  private start({
    id = '',
    millisecondsAgo = Number.POSITIVE_INFINITY,
  }: {
    id?: string
    millisecondsAgo?: number
  }): void {
    const isMissed = this.lastId === undefined ? millisecondsAgo < performance.now() : id !== this.lastId
    this.lastId = id
    if (isMissed) this.tell({ kind: 'missed' })
  }
}

function receive(message: Exclude<Message, { kind: 'hello' }>): void {
  switch (message.kind) {
    case 'change':
      if (isShown(message.change)) refresher.request()
      return
    case 'jobs':
      liveJobs.value = message.jobs
      return
    case 'missed':
      refresher.request()
      return
    case 'broken':
      checkConnection().catch(() => {})
      return
    case 'account':
      loadCaller().catch(() => {})
  }
}

/** Returns whether a change may affect the page. */
function isShown({ type, repository }: Change): boolean {
  if (type.startsWith('blob.')) return false
  const { name } = parseRepositoryPath(location.pathname)
  return name === '' || name === repository
}

/** Refreshes the page immediately, but not too often, and only while it is visible. */
class Refresher {
  private timer: ReturnType<typeof setTimeout> | undefined
  private last = Number.NEGATIVE_INFINITY

  request(): void {
    if (this.timer !== undefined) return
    const wait = Math.max(this.last + REFRESH_MILLISECONDS - performance.now(), 0)
    this.timer = setTimeout(() => {
      if (document.visibilityState === 'visible') this.refresh()
      else document.addEventListener('visibilitychange', () => this.refresh(), { once: true })
    }, wait)
  }

  private refresh(): void {
    this.timer = undefined
    this.last = performance.now()
    revision.value++
  }
}

const refresher = new Refresher()

/** Reports a lost connection, if that is why a read failed. */
export async function checkConnection(): Promise<void> {
  const response = await fetch('/livez').catch(() => undefined)
  if (response === undefined) isOffline.value = true
  else await loadCaller()
}
