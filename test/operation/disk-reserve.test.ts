import { expect, test } from 'bun:test'
import { DiskReserve } from '../../src/operation/operation.ts'
import { openMemoryLog } from '../support/memory-log.ts'
import { startInProcess } from '../support/server.ts'
import { until } from '../support/until.ts'

test('disk reserve: low space of either volume is a problem, and is logged and counted once', async () => {
  const { log, lines } = openMemoryLog()
  const free: Record<string, number> = { '/data': 100, '/metadata': 100 }
  const freeBytes = async (folder: string) => free[folder] ?? 0
  const reserve = new DiskReserve({ folders: ['/data', '/metadata'], freeBytes, bytesMin: 50, log })
  await reserve.check()
  expect([reserve.problem(), reserve.falls]).toEqual([undefined, 0])
  free['/metadata'] = 49
  for (const _ of [1, 2]) await reserve.check()
  expect(reserve.problem()).toBe('the disk is almost full: 49 bytes are free, less than disk.free-bytes-min')
  free['/metadata'] = 50
  await reserve.check()
  expect([reserve.problem(), reserve.falls]).toEqual([undefined, 1])
  expect(lines).toMatchObject([
    { level: 40, folder: '/metadata', freeBytes: 49, freeBytesMin: 50 },
    { level: 30, msg: 'the disk has free space again' },
  ])
})

test('disk reserve: /readyz, the server and the metrics show that space is low', async () => {
  await using server = await startInProcess({ settings: { 'disk.free-bytes-min': '1TiB' } })
  await until(async () => (await server.fetch('/readyz')).status === 503)
  const { status } = (await (await server.fetch('/readyz')).json()) as { status: string }
  expect(status).toStartWith('the disk is almost full: ')
  const get = async (path: string) => await (await server.fetch(`/api/v1/${path}`)).json()
  expect(await get('server')).toMatchObject({ ready: false, problem: status })
  expect(await get('storage')).toMatchObject({ disk: { freeBytesMin: 2 ** 40 } })
  const metrics = await (await server.fetch('/metrics')).text()
  expect(metrics).toContain('\ncay_disk_low_total 1\n')
  expect(metrics).toContain(`\ncay_disk_reserve_bytes ${2 ** 40}\n`)
  expect((await server.fetch('/livez')).status).toBe(200)
})
