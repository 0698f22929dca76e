import type { UploadBody } from '../../src/storage/blob-store.ts'

/** Returns a body that arrives in these parts. */
export function bodyOf(...parts: Uint8Array<ArrayBuffer>[]): UploadBody {
  return { stream: new Blob(parts).stream() }
}

/** An empty body. */
export const NO_BODY: UploadBody = { stream: null }

/** A body whose chunks the test sends. They are copied, since a chunk belongs to its reader. */
export interface SlowBody {
  body: UploadBody
  bring(bytes: Uint8Array): void
  end(): void
  fail(error: Error): void
}

export function slowBody(): SlowBody {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const stream = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given
    },
  })
  return {
    body: { stream },
    bring: (bytes) => controller?.enqueue(bytes.slice()),
    end: () => controller?.close(),
    fail: (error) => controller?.error(error),
  }
}
