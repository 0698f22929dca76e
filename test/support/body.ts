import type { UploadBody } from '../../src/domain/blob-body.ts'

/** A body of these parts, as they would come from a client. */
export function bodyOf(...parts: Uint8Array<ArrayBuffer>[]): UploadBody {
  return { stream: new Blob(parts).stream() }
}

/** A body that brings nothing. */
export const NO_BODY: UploadBody = { stream: null }

/** A body that brings what it is told to, when it is told to: copies, since a chunk belongs to who reads it. */
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
