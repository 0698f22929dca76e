import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { parseDigest } from '../../src/oci/reference.ts'
import { ContentReader } from '../../src/registry/content-reader.ts'
import { labelIndex } from '../../src/registry/labels.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { APP, openMachine } from '../support/time-machine.ts'

const MANIFESTS = 100

test('label index: reading old manifests continues after a restart, and survives one that cannot be read', async () => {
  await using m = await openMachine()
  for (let n = 0; n < MANIFESTS; n++)
    await m.push(imageManifest(EMPTY, [], { annotations: { n: `${n}` } }), [`t${n}`])
  using db = new Database(join(m.folder, 'cay.db'))
  db.run("update total set value = (select max(id) from manifest) where name = 'labels.unread'")
  db.run("update manifest set media_type = 'broken' where id = 1")
  const read: string[] = []
  const start = () => {
    const reader = new ContentReader()
    const index = labelIndex({
      metadata: m.metadata,
      reader,
      async readLabels(_repository, { annotations: { n = '' } = {} }) {
        read.push(n)
        if (read.length === MANIFESTS - 10) void index.stop()
        return { n }
      },
    })
    return index
  }
  await start().readOld()
  expect(read).toHaveLength(MANIFESTS - 10)
  const labels = () => m.sql<{ label: string }>('select label from manifest_label')
  expect(labels().length).toBeLessThan(read.length)
  await start().readOld()
  expect(labels()).toHaveLength(MANIFESTS - 1)
  const count = read.length
  await start().readOld()
  expect(read).toHaveLength(count)
})

test('label index: a config that many manifests have holds up no other request', async () => {
  await using m = await openMachine()
  for (let n = 0; n < MANIFESTS; n++)
    await m.push(imageManifest(EMPTY, [], { annotations: { n: `${n}` } }), [`t${n}`])
  let turns = 0
  let isDone = false
  const count = () => {
    turns++
    if (!isDone) setImmediate(count)
  }
  const turnsAtRead: number[] = []
  const index = labelIndex({
    metadata: m.metadata,
    reader: new ContentReader(),
    async readLabels() {
      turnsAtRead.push(turns)
      return { env: 'test' }
    },
  })
  setImmediate(count)
  await index.configArrived(APP, parseDigest(EMPTY.digest))
  isDone = true
  expect(turnsAtRead.length).toBeGreaterThan(10)
  expect(new Set(turnsAtRead).size).toBe(turnsAtRead.length)
})
