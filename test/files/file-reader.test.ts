import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ListAnswer, SearchAnswer } from '../../src/files/question.ts'
import { FileReader } from '../../src/files/reader.ts'
import { FIRST, UNWATCHED } from '../support/indexed-files.ts'
import { tar } from '../support/tar.ts'

const members = 40_000
const layer = `sha256:${'a'.repeat(64)}`
const source = { layers: [layer], isImage: false }

test('files: the serving thread spends little on the index of a layer with many files', async () => {
  const data = mkdtempSync(join(tmpdir(), 'cay-file-reader-'))
  const reader = new FileReader({ data })
  // Bun 1.4.5 polls while it waits only for a worker that does not keep it alive. A server has a listener that does.
  const alive = setInterval(() => {}, 60_000)
  try {
    const content = join(data, 'layer.tar')
    writeFileSync(content, tar(Array.from({ length: members }, (_, at) => ({ name: `files/file-${at}` }))))
    await reader.ask({ do: 'missing', layers: [layer] })

    // Otherwise garbage of earlier tests may be collected while this thread is measured.
    Bun.gc(true)
    const [own, all] = [process.threadCpuUsage(), process.cpuUsage()]
    await reader.run(layer, { do: 'build', layer, content, needed: [] }, UNWATCHED)
    const list = { do: 'list', source, path: ['files'], after: '', limit: 500 } as const
    const listed = await reader.ask<ListAnswer>(list)
    const search = { do: 'search', source, text: '9999', below: [], after: FIRST, limit: 500 } as const
    const found = await reader.ask<SearchAnswer>(search)
    const [ownSpent, allSpent] = [process.threadCpuUsage(own), process.cpuUsage(all)].map(
      ({ user, system }) => user + system,
    )

    expect([listed.items.length, found.items.length]).toEqual([500, 4])
    expect((ownSpent ?? 0) / (allSpent ?? 1)).toBeLessThan(0.1)
  } finally {
    clearInterval(alive)
    await reader.stop()
    rmSync(data, { recursive: true })
  }
})
