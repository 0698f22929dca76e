import { turn } from './clock.ts'

/** Messages to all threads of the process. */
const CHANNEL = 'release-memory'

/** How often `look` is to be called. */
export const IDLE_LOOK_SECONDS = 10

/** The process counts as idle between two looks if it used less processor time than this, in microseconds. */
const IDLE_CPU_MAX = 500_000
/** Idle looks before memory is released. */
const IDLE_LOOKS_MIN = 3
/** How much the process must have worked since the last release, in microseconds, for another one to be worth it. */
const WORK_CPU_MIN = 1_000_000
/** The first release frees objects and code; the next ones return the pages that they leave empty. */
const RELEASES = 2

/** Something that can do without a part of its memory, such as a cache. */
export interface Releasing {
  releaseMemory(): void
}

export interface IdleMemoryOptions {
  /** Processor time of the process so far, of all threads, in microseconds. */
  cpuTime?: () => number
  /** Releases the memory of all threads. */
  release?: () => void
}

/**
 * Returns memory to the operating system when the process has become idle: compiled code, garbage and free pages.
 * The JavaScript engine does that only while it allocates, so without this an idle server keeps the memory of its
 * busiest minute.
 */
export class IdleMemory {
  private readonly cpuTime: () => number
  private readonly release: () => void
  private readonly releasing: Releasing[] = []
  private last: number
  private idleLooks = 0
  private releasesLeft = RELEASES
  /** The processor time at the last release. */
  private releasedAt = 0

  constructor({ cpuTime = processTime, release = releaseAll }: IdleMemoryOptions = {}) {
    this.cpuTime = cpuTime
    this.release = release
    this.last = cpuTime()
  }

  /** Adds something whose memory is released, too. */
  add(one: Releasing): void {
    this.releasing.push(one)
  }

  /** Releases memory if the process has been idle for a while, and has worked since it was last released. */
  look(): void {
    const now = this.cpuTime()
    const isIdle = now - this.last < IDLE_CPU_MAX
    this.last = now
    this.idleLooks = isIdle ? this.idleLooks + 1 : 0
    if (now - this.releasedAt >= WORK_CPU_MIN) this.releasesLeft = RELEASES
    if (this.idleLooks < IDLE_LOOKS_MIN || this.releasesLeft === 0) return
    this.releasesLeft--
    for (const one of this.releasing) one.releaseMemory()
    this.release()
    this.releasedAt = now
  }
}

/** Lets `IdleMemory` release the memory of the calling thread, and of `one`. Its event loop must be running. */
export function releaseWhenIdle(one?: Releasing): void {
  const channel = new BroadcastChannel(CHANNEL)
  channel.onmessage = () => {
    one?.releaseMemory()
    releaseThread()
  }
}

/** Runs a full garbage collection, so the thread stops for some tens of milliseconds. */
function releaseThread(): void {
  // The only function that discards compiled code. It is deprecated without a replacement (Bun 1.4.5).
  Bun.shrink()
}

function releaseAll(): void {
  const channel = new BroadcastChannel(CHANNEL)
  channel.postMessage(undefined)
  channel.close()
  releaseThread()
}

function processTime(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

interface Surface {
  handle(request: Request): Response | Promise<Response>
}

/**
 * Loads and builds a surface, such as an Elysia app, on its first request, which waits for it. A server that never needs
 * it saves the startup time and the memory. Other requests are served between the steps.
 *
 * @param load imports the surface's file with `import()`, so that it becomes a separate chunk of the executable
 */
export function onDemand<M>(
  load: () => Promise<M>,
  build: (module: M) => Surface | Promise<Surface>,
): (request: Request) => Promise<Response> {
  const surface = once(async () => {
    const module = await load()
    await turn()
    const built = await build(module)
    await turn()
    return built
  })
  return async (request) => (await surface()).handle(request)
}

/** Returns a function that creates a value on its first call and keeps it. A failed creation is tried again. */
export function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
