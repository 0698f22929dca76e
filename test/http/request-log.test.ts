import { expect, test } from 'bun:test'
import { logRequest } from '../../src/http/request-log.ts'
import { registryError } from '../../src/oci/error.ts'
import { openMemoryLog } from '../support/memory-log.ts'

test('request log: a line repeats a bounded part of what a client sent', () => {
  const { log, lines } = openMemoryLog()
  const long = 'x'.repeat(15_000)
  logRequest(log, {
    method: 'PUT',
    path: `/v2/${long}`,
    status: 400,
    route: undefined,
    requestId: '1',
    began: 0,
    failure: registryError('MANIFEST_INVALID', `invalid Content-Type ${long}`),
  })
  expect(lines).toHaveLength(1)
  expect(JSON.stringify(lines[0]).length).toBeLessThan(2500)
  expect(lines[0]?.path).toStartWith('/v2/xxx')
})
