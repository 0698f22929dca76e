import { parseSignedDocument } from '../docker/signed-document.ts'
import { lowerPriority } from '../low-priority.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import type { Answer, Asked } from '../worker-client.ts'
import type { HashQuestion } from './content-verifier.ts'

declare const self: Worker

async function isGood({ digest, content, bytesPerSecondMax }: HashQuestion): Promise<boolean> {
  return typeof content === 'string'
    ? await isFileGood(content, digest, bytesPerSecondMax)
    : isHashOf(digest, content) || isPayloadGood(content, digest)
}

/** Hashes a file at a bounded rate. A file that does not exist is not good. */
async function isFileGood(file: string, digest: Digest, bytesPerSecondMax: number): Promise<boolean> {
  if (!(await Bun.file(file).exists())) return false
  const hasher = new Bun.CryptoHasher(algorithmOf(digest))
  const startedAt = performance.now()
  let bytes = 0
  for await (const chunk of Bun.file(file).stream()) {
    hasher.update(chunk)
    bytes += chunk.length
    const aheadMs = (bytes / bytesPerSecondMax) * 1000 - (performance.now() - startedAt)
    if (aheadMs > 10) await Bun.sleep(aheadMs)
  }
  return hasher.digest('hex') === hexOf(digest)
}

/** The digest of a signed manifest of Docker schema 1 is that of its content without the signatures. */
function isPayloadGood(bytes: Uint8Array, digest: Digest): boolean {
  try {
    return isHashOf(digest, parseSignedDocument(bytes).payload)
  } catch {
    return false
  }
}

function isHashOf(digest: Digest, bytes: Uint8Array): boolean {
  return new Bun.CryptoHasher(algorithmOf(digest)).update(bytes).digest('hex') === hexOf(digest)
}

async function answerTo(question: Asked<HashQuestion>): Promise<void> {
  const { id } = question
  const answer = await isGood(question).then(
    (value): Answer<string> => ({ id, value }),
    (error: Error): Answer<string> => ({ id, failure: error.message }),
  )
  self.postMessage([answer])
}

lowerPriority()
self.onmessage = ({ data }: MessageEvent<Asked<HashQuestion>[]>) => data.forEach(answerTo)
