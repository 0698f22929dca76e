import { TransferError } from './source.ts'

/**
 * Reads a body to its end.
 * @throws TransferError when it is longer than `bytesMax`
 */
export async function readAtMost(response: Response, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > bytesMax) throw new TransferError(`${response.url} sends more than ${bytesMax} bytes`)
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
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
