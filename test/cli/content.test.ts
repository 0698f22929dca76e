import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { build } from '../../scripts/build.ts'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { expectStatus, pushBlob, pushImage, startUpload } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable, type TestServer } from '../support/server.ts'

beforeAll(async () => {
  await build()
}, 60_000)

const layer = randomBlob(3000)
const image = imageManifest(EMPTY, [layer])

for (const kind of ['a running server', 'a data folder that no server has']) {
  describe(`commands for stored content, on ${kind}`, () => {
    const resources = new AsyncDisposableStack()
    let folder: TemporaryFolder
    let server: TestServer
    let upload: string
    const isRunning = kind === 'a running server'
    beforeAll(async () => {
      folder = resources.use(await temporaryFolder('content'))
      server = resources.use(await startExecutable({ data: folder.path }))
      await pushImage(server, 'library/app', image, [layer], { reference: '1.0' })
      await pushBlob(server, 'library/other', layer)
      const location = await startUpload(server, 'library/app')
      await expectStatus(await server.fetch(location, { method: 'PATCH', body: 'half' }), 202)
      upload = JSON.parse(await cay('upload list --json')).items[0].id
      if (!isRunning) await server.stop()
    }, 60_000)
    afterAll(() => resources.disposeAsync())

    const cay = async (line: string) => {
      const { code, output, errors } = await runCay([...line.split(' '), '--data', folder.path])
      expect([line, code, errors]).toEqual([line, 0, ''])
      return output
    }
    /** Expects the command to print the API's own JSON. */
    const expectSame = async (line: string, path: string) => {
      const said = JSON.parse(await cay(`${line} --json`))
      if (!isRunning) return said
      // Other processes change the free space of the disk.
      const same = (answer: object) => JSON.stringify(answer).replace(/"freeBytes":\d+/, '"freeBytes":0')
      expect(same(said)).toBe(same((await (await server.fetch(`/api/v1${path}`)).json()) as object))
      return said
    }

    test('blob show prints the size of a blob and its repositories', async () => {
      await expectSame(`blob show ${layer.digest}`, `/blobs/${layer.digest}`)
      const card = await cay(`blob show ${layer.digest}`)
      expect(card).toContain(`Digest:  ${layer.digest}\nSize:    2.9 KiB\n`)
      expect(card).toMatch(
        /\n\nUsed in\nREPOSITORY +SINCE +UNREFERENCED SINCE\nlibrary\/app +20\S+\nlibrary\/other +20/,
      )
    })

    test('storage shows disk usage', async () => {
      const { blobs } = await expectSame('storage repositories', '/storage/repositories?sort=bytes').then(
        () => expectSame('storage show', '/storage'),
      )
      expect(blobs).toEqual({ count: 2, bytes: 3002 })
      expect(await cay('storage')).toMatch(/^Blobs: +2\nBytes of blobs: +2\.9 KiB\n.*Free on the disk: +\d/s)
      expect(await cay('storage repositories --sort bytes')).toMatch(
        /^REPOSITORY +BLOBS +SIZE +OWN +SHARED +DELETED\nlibrary\/app +2 +2\.9 KiB +2 B +2\.9 KiB\nlibrary\/other +1 +2\.9 KiB +0 B/,
      )
    })

    test('server shows what the API shows, and without one says so', async () => {
      if (isRunning)
        expect(await cay('server')).toMatch(/^Version: .*^Ready: +yes$.*^lists\.page-max +1000$/ms)
      else expect((await runCay(['server', '--data', folder.path])).code).toBe(5)
    })

    test('upload lists an upload, and cancels it', async () => {
      expect(await cay('upload list')).toMatch(new RegExp(`^ID .*\n${upload} .* 4 B `))
      const refused = await runCay(['upload', 'cancel', upload, '--data', folder.path])
      expect([refused.code, refused.output]).toEqual([2, ''])
      expect(await cay(`upload cancel ${upload} --yes`)).toEqual(`canceled the upload ${upload}\n`)
      const { code, output, errors } = await runCay(['upload', 'list', '--data', folder.path])
      expect([code, output, errors]).toEqual([0, '', 'There are no uploads in progress.\n'])
    })
  })
}
