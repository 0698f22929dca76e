import { RegistryError } from '../oci/error.ts'

/** What the promise brings; undefined for what is not here. */
export async function unlessUnknown<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return undefined
    throw error
  }
}
