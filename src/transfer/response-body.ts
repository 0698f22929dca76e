import { TransferError } from './source.ts'

/** How long a body of bounded size can take. */
const BODY_MS_MAX = 120_000

/**
 * Reads a body to its end.
 * @throws TransferError when it is longer than `bytesMax`, or takes too long
 */
export async function readAtMost(
  response: Response,
  bytesMax: number,
  millisecondsMax = BODY_MS_MAX,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  const reader = response.body?.getReader()
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    reader?.cancel().catch(() => {})
  }, millisecondsMax)
  try {
    for (let bytes = 0; ; ) {
      const { done = true, value } = (await reader?.read()) ?? {}
      if (isLate) throw new TransferError(`${response.url} sends too slowly`)
      if (done || value === undefined) return new Uint8Array(Buffer.concat(chunks))
      bytes += value.length
      if (bytes > bytesMax) throw new TransferError(`${response.url} sends more than ${bytesMax} bytes`)
      chunks.push(value)
    }
  } finally {
    clearTimeout(timer)
    reader?.cancel().catch(() => {})
  }
}

/**
 * Parses a body as a JSON object.
 * @throws TransferError when it is something else, or longer than `bytesMax`
 */
export async function readObject(response: Response, bytesMax: number): Promise<Record<string, unknown>> {
  const text = new TextDecoder().decode(await readAtMost(response, bytesMax))
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Refused below, like other text.
  }
  throw new TransferError(`${response.url} does not send a JSON object`)
}
