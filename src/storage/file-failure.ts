import { diskFull } from '../oci/error.ts'

/** An error of the file system as plain data, so that it can be sent to another thread. */
export interface FileFailure {
  message: string
  /** The code of the system error, for example `ENOSPC`. */
  code: string | undefined
}

const FULL = new Set(['ENOSPC', 'EDQUOT'])

export function toFileFailure(error: unknown): FileFailure {
  const { message, code } = error as NodeJS.ErrnoException
  return { message, code }
}

/** Returns the error to throw: a RegistryError with status 507 for a full disk, otherwise an Error. */
export function fromFileFailure({ message, code }: FileFailure): Error {
  const cause = new Error(message)
  return code !== undefined && FULL.has(code) ? diskFull(cause) : cause
}
