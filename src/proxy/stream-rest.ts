/** Returns a stream without its first bytes, which an upstream without ranges sends again. */
export function withoutFirst(stream: ReadableStream<Uint8Array>, bytes: number): ReadableStream<Uint8Array> {
  let left = bytes
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        const skipped = Math.min(left, chunk.length)
        left -= skipped
        if (skipped < chunk.length) controller.enqueue(skipped === 0 ? chunk : chunk.slice(skipped))
      },
    }),
  )
}
