/** Limits the total rate of streams, in bytes per second. */
export class Rate {
  private readonly bytesPerSecond: number
  private readonly monotonic: () => number
  /** The time by which the bytes so far are within the rate. */
  private due = 0

  /** @param bytesPerSecond 0 for no limit */
  constructor(bytesPerSecond: number, monotonic: () => number) {
    this.bytesPerSecond = bytesPerSecond
    this.monotonic = monotonic
  }

  /** Returns the stream, slowed down to the rate. */
  slow(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    if (this.bytesPerSecond === 0) return stream
    const reader = stream.getReader()
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const { done, value } = await reader.read()
          if (done) return controller.close()
          await this.take(value.length)
          controller.enqueue(value)
        },
        cancel: (reason) => reader.cancel(reason),
      },
      { highWaterMark: 0 },
    )
  }

  private take(bytes: number): Promise<void> {
    const now = this.monotonic()
    this.due = Math.max(now, this.due) + (bytes / this.bytesPerSecond) * 1000
    return new Promise((resolve) => setTimeout(resolve, this.due - now))
  }
}
