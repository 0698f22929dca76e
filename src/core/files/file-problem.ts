import { FileError } from '../../files/file-question.ts'
import { registryError, tooManyRequests } from '../../oci/error.ts'

/** Turns a failure of the thread that reads files into what a client sees; other errors stay as they are. */
export function fileProblem(error: unknown): Error {
  if (!(error instanceof FileError)) return error as Error
  const { reason, message } = error
  switch (reason) {
    case 'absent':
      return registryError('NOT_FOUND', message)
    case 'not-a-file':
    case 'not-a-directory':
      return registryError('CONFLICT', message)
    case 'unreadable':
      return registryError('UNSUPPORTED', message)
    case 'missing':
    case 'full':
      return later(message)
    case 'cancelled':
      return later('the work for this was cancelled')
    case 'failed':
      return error
  }
}

function later(message: string): Error {
  return tooManyRequests(`${message}: try again later`, 10, 503)
}
