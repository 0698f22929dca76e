import { RegistryError } from '../oci/error.ts'

/** Returns the promise's result, or undefined if it rejects with a 404. */
export async function unlessUnknown<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise
  } catch (error) {
    return throwUnlessUnknown(error)
  }
}

/** Throws an error again, unless it is a 404. */
export function throwUnlessUnknown(error: unknown): undefined {
  if (error instanceof RegistryError && error.status === 404) return undefined
  throw error
}
