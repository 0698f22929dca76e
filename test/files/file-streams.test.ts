import { expect, test } from 'bun:test'
import { FileStreams } from '../../src/files/file-thread.ts'
import { tar } from '../support/tar.ts'

const content = tar([{ name: 'a', content: 'text' }])
const location = { layer: 'sha256:a', start: 512, size: 4 }

test('files: one account has a share of the downloads, also of those that begin at once', async () => {
  const streams = new FileStreams()
  const open = (account: string) => streams.open(account, content, location).catch(({ reason }) => reason)
  const ids = await Promise.all(Array.from({ length: 40 }, () => open('mallory')))
  const opened = ids.filter((id) => typeof id === 'number')
  expect([opened.length, ids.at(-1)]).toEqual([8, 'full'])
  const other = await open('alice')
  expect(new TextDecoder().decode(await streams.read(other))).toBe('text')
  await streams.close(opened[0] ?? 0)
  expect(await open('mallory')).toBeNumber()
  for (const id of [...opened, other]) await streams.close(id)
})
