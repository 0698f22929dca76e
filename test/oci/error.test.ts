import { expect, test } from 'bun:test'
import { diskFull, ERROR_CODES, type ErrorCode, RegistryError, registryError } from '../../src/oci/error.ts'

test('errors: an error has the status and message of its code unless others are given', () => {
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const error = registryError(code)
    expect(error.status).toBe(ERROR_CODES[code].status)
    expect(error.entries).toEqual([{ code, message: ERROR_CODES[code].message }])
  }
  const other = registryError('DENIED', 'not now', {
    status: 412,
    headers: { etag: '"a"' },
    detail: { a: 1 },
  })
  expect(other).toMatchObject({ status: 412, headers: { etag: '"a"' } })
  expect(other.entries).toEqual([{ code: 'DENIED', message: 'not now', detail: { a: 1 } }])
})

test('errors: the cause is for the log and appears in no entry', () => {
  const error = diskFull(new Error('ENOSPC: /var/lib/cay/uploads/1'))
  expect(error.status).toBe(507)
  expect(error.cause).toBeInstanceOf(Error)
  expect(JSON.stringify(error.entries)).not.toMatch(/ENOSPC|var/)
  expect(error).toBeInstanceOf(RegistryError)
})
