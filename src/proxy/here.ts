import { RegistryError } from '../oci/error.ts'

/** Returns the promise's result, or undefined if it rejects with a 404. */
export async function unlessUnknown<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return undefined
    throw error
  }
}
