import { lowerPriority } from '../low-priority.ts'
import type { Answer, Asked } from '../worker-client.ts'
import type { HashQuestion } from './file-hasher.ts'

declare const self: Worker

/** Hashes a file at a bounded rate; undefined if there is no such file. */
async function hash({ file, algorithm, bytesPerSecondMax }: HashQuestion): Promise<string | undefined> {
  if (!(await Bun.file(file).exists())) return undefined
  const hasher = new Bun.CryptoHasher(algorithm)
  const startedAt = performance.now()
  let bytes = 0
  for await (const chunk of Bun.file(file).stream()) {
    hasher.update(chunk)
    bytes += chunk.length
    const aheadMs = (bytes / bytesPerSecondMax) * 1000 - (performance.now() - startedAt)
    if (aheadMs > 10) await Bun.sleep(aheadMs)
  }
  return hasher.digest('hex')
}

async function answerTo(question: Asked<HashQuestion>): Promise<void> {
  const { id } = question
  const answer = await hash(question).then(
    (value): Answer<string> => ({ id, value }),
    (error: Error): Answer<string> => ({ id, failure: error.message }),
  )
  self.postMessage([answer])
}

lowerPriority()
self.onmessage = ({ data }: MessageEvent<Asked<HashQuestion>[]>) => data.forEach(answerTo)
