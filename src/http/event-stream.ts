/** How often an idle stream sends a comment, so that no proxy or server closes it. */
const HEARTBEAT_SECONDS = 5

/** The next part of a stream. */
export interface Sent {
  /** Whole events. */
  text: string
  /** Whether the stream ends after them. */
  isEnd: boolean
}

/** The source of a stream's events. */
export interface EventSource {
  /** Returns what to send, or undefined if there is nothing. Called after each `wake` and heartbeat. */
  take(): Sent | undefined | Promise<Sent | undefined>
  /** Called when the client has disconnected. */
  stop(): void
}

/** Formats a server-sent event (HTML, 9.2) with an object as JSON. */
export function eventText(event: string, data: object, id?: number): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

/**
 * Streams server-sent events, and comments while there are none. Events are taken only when the client reads.
 *
 * Elysia's `sse` is not used: it sends no heartbeat comments, and it notices a disconnect only when the generator yields
 * again, so the client would count as a watcher until then.
 *
 * @param open opens the source, which calls `wake` when there may be events
 */
export function eventStream(
  open: (wake: () => void) => EventSource,
  heartbeatSeconds = HEARTBEAT_SECONDS,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder()
  let isAwake = false
  let resume = () => {}
  let isGone = false
  const wake = () => {
    isAwake = true
    resume()
  }
  const source = open(wake)
  /** Waits until there may be something to take, at most until it is time for a heartbeat. */
  const wait = async () => {
    if (isAwake) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, heartbeatSeconds * 1000)
    resume = resolve
    await promise
    clearTimeout(timer)
  }
  const next = async () => {
    isAwake = false
    const sent = await source.take()
    if (sent !== undefined) return sent
    await wait()
    isAwake = false
    return isGone ? undefined : await source.take()
  }
  return new ReadableStream({
    async pull(controller) {
      const sent = await next()
      if (isGone) return
      controller.enqueue(encoder.encode(sent?.text ?? ': heartbeat\n\n'))
      if (!sent?.isEnd) return
      controller.close()
      source.stop()
    },
    cancel() {
      isGone = true
      source.stop()
      wake()
    },
  })
}

/** Responds with a stream of events. For a HEAD, Elysia would read the stream to its end. */
export function answerEvents(method: string, open: () => ReadableStream<Uint8Array<ArrayBuffer>>): Response {
  return new Response(method === 'HEAD' ? null : open(), {
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
  })
}
