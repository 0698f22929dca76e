import { RegistryError } from '../oci/error.ts'
import { type Answer, type Asked, lowerPriority } from '../runtime/threads.ts'
import { answerTo, type ReadingFailure, type ReadingQuestion } from './content-reader.ts'

declare const self: Worker

lowerPriority()

self.onmessage = ({ data }: MessageEvent<Asked<ReadingQuestion>[]>) => {
  for (const question of data) self.postMessage([answer(question)])
}

function answer(question: Asked<ReadingQuestion>): Answer<ReadingFailure> {
  const { id } = question
  try {
    return { id, value: answerTo(question) }
  } catch (error) {
    const { message } = error as Error
    const known = error instanceof RegistryError ? error : undefined
    return { id, failure: { message, entries: known?.entries, status: known?.status ?? 500 } }
  }
}
