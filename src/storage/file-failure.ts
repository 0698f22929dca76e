import { diskFull } from '../oci/error.ts'

/** An error of the file system as plain data, so that one thread can tell another. */
export interface FileFailure {
  message: string
  /** The name of the system's error, for example `ENOSPC`. */
  code: string | undefined
}

const FULL = new Set(['ENOSPC', 'EDQUOT'])

export function toFileFailure(error: unknown): FileFailure {
  const { message, code } = error as NodeJS.ErrnoException
  return { message, code }
}

/** Throws nothing: a full disk becomes the RegistryError 507, anything else an Error. */
export function fromFileFailure({ message, code }: FileFailure): Error {
  const cause = new Error(message)
  return code !== undefined && FULL.has(code) ? diskFull(cause) : cause
}
