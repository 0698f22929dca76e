import { registryError } from '../../oci/error.ts'

/** The place in a list that some numbers name, as text. */
export function cursorOf(...numbers: number[]): string {
  return numbers.join('.')
}

/** The numbers of a cursor; those of the beginning when there is none. Throws REQUEST_INVALID. */
export function parseCursor(text: string | undefined, ...beginning: number[]): number[] {
  if (text === undefined || text === '') return beginning
  const numbers = text.split('.').map((one) => (/^\d{1,16}$/.test(one) ? Number(one) : Number.NaN))
  if (numbers.length === beginning.length && numbers.every(Number.isSafeInteger)) return numbers
  throw registryError('REQUEST_INVALID', 'query last: is not the `next` of a page of this list')
}
