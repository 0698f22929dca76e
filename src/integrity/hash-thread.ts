import { damageOfFile } from '../database/database.ts'
import { parseSignedDocument } from '../docker/signed-document.ts'
import { algorithmOf, type Digest, digestOf, hexOf } from '../oci/reference.ts'
import { type Answer, type Asked, lowerPriority } from '../runtime/threads.ts'
import { type FileFailure, toFileFailure } from '../storage/durable-file.ts'
import type { HashQuestion, ThreadQuestion } from './content-check.ts'

declare const self: Worker

/** Limits the rate at which files and bytes are read in total. */
class Pace {
  /** The time by which the bytes so far would have been read at the rate. */
  private due = 0

  async take(bytes: number, bytesPerSecondMax: number): Promise<void> {
    const now = performance.now()
    this.due = Math.max(this.due, now) + (bytes / bytesPerSecondMax) * 1000
    // A timer is not exact, so short waits are added to the next one.
    if (this.due - now > 10) await Bun.sleep(this.due - now)
  }
}

/** Reports whether content has the digest. A missing file does not. */
async function isGood({ digest, content, bytesPerSecondMax }: HashQuestion, pace: Pace): Promise<boolean> {
  if (typeof content !== 'string') {
    await pace.take(content.length, bytesPerSecondMax)
    return isHashOf(digest, content) || isPayloadGood(content, digest)
  }
  const file = Bun.file(content)
  if (!(await file.exists())) return false
  const hasher = new Bun.CryptoHasher(algorithmOf(digest))
  for await (const chunk of file.stream()) {
    hasher.update(chunk)
    await pace.take(chunk.length, bytesPerSecondMax)
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
  return digestOf(bytes, algorithmOf(digest)) === digest
}

lowerPriority()
const pace = new Pace()
const answer = async (question: Asked<ThreadQuestion>): Promise<void> => {
  const { id } = question
  const work = async () =>
    'database' in question ? damageOfFile(question.database) : await isGood(question, pace)
  const answer = await work().then(
    (value): Answer<FileFailure> => ({ id, value }),
    (error): Answer<FileFailure> => ({ id, failure: toFileFailure(error) }),
  )
  self.postMessage([answer])
}
self.onmessage = ({ data }: MessageEvent<Asked<ThreadQuestion>[]>) => data.forEach(answer)
