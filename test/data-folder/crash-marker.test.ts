import { beforeAll, expect, test } from 'bun:test'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { hexOf, parseDigest } from '../../src/oci/reference.ts'
import { randomBlob } from '../support/content.ts'
import { until } from '../support/until.ts'

beforeAll(async () => {
  await build()
}, 60_000)

test('crash marker: a server removes what a killed one left behind, and a clean shutdown leaves no marker', async () => {
  await using folder = await temporaryFolder('crash')
  const marker = join(folder.path, 'running')
  const start = () => startServer({ data: folder.path, args: ['--gc-grace-seconds', '1'] })
  const killed = await start()
  process.kill(killed.pid, 'SIGKILL')
  await killed.stop()
  expect(existsSync(marker)).toBe(true)
  const hex = hexOf(parseDigest(randomBlob(100).digest))
  const orphan = join(folder.path, 'blobs/sha256', hex.slice(0, 2), hex)
  mkdirSync(dirname(orphan), { recursive: true })
  writeFileSync(orphan, 'between its bytes and its row')
  const early = await start()
  await early.stop()
  expect(existsSync(marker)).toBe(true)
  const next = await start()
  await until(() => next.log().includes('removed what a crash left behind'))
  expect(existsSync(orphan)).toBe(false)
  await next.stop()
  expect(existsSync(marker)).toBe(false)
}, 20_000)
