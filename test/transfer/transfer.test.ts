import { expect, setDefaultTimeout, test } from 'bun:test'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeRepository } from '../../scripts/lib/registry-folder.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { basic, PASSWORD, startWithAccounts } from '../support/accounts.ts'
import {
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  json,
  OCI_INDEX,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { pushBlob, pushImage, pushManifest } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable, type TestServer } from '../support/server.ts'

// Each test starts the executable several times, which takes long on a busy machine.
setDefaultTimeout(60_000)

const LAYER_BYTES = 200_000

async function bytesAt(server: TestServer, path: string): Promise<Uint8Array | number> {
  const response = await server.fetch(path, { headers: { accept: '*/*' } })
  return response.ok ? await response.bytes() : response.status
}

/** An index of one image, with a signature that refers to the image. */
function sample() {
  const layer = randomBlob(LAYER_BYTES)
  const image = imageManifest(EMPTY, [layer])
  const index = imageIndex([descriptor(image, OCI_MANIFEST)])
  const signature = imageManifest(EMPTY, [], { subject: descriptor(image, OCI_MANIFEST) })
  return { layer, image, index, signature }
}

async function pushSample(server: Pick<TestServer, 'fetch'>, repository: string, content = sample()) {
  await pushImage(server, repository, content.image, [content.layer])
  await pushManifest(server, repository, content.index, { reference: 'v1', type: OCI_INDEX })
  await pushManifest(server, repository, content.signature)
  return content
}

async function expectSample(
  server: TestServer,
  repository: string,
  { layer, image, index, signature }: ReturnType<typeof sample>,
) {
  expect(await bytesAt(server, `/v2/${repository}/manifests/v1`)).toEqual(index.bytes)
  expect(await bytesAt(server, `/v2/${repository}/manifests/${image.digest}`)).toEqual(image.bytes)
  expect(await bytesAt(server, `/v2/${repository}/blobs/${layer.digest}`)).toEqual(layer.bytes)
  const referrers = await server.fetch(`/v2/${repository}/referrers/${image.digest}`)
  expect(await referrers.json()).toMatchObject({ manifests: [{ digest: signature.digest }] })
}

test.each(['layout', 'layout.tar'])(
  'transfer: cay export %s and cay import keep images, indexes and referrers',
  async (file) => {
    await using folder = await temporaryFolder('transfer')
    const path = join(folder.path, file)
    await using server = await startExecutable()
    const content = await pushSample(server, 'team/app')
    expect(await runCay(['export', path, 'team/app:v1', '--data', server.data])).toMatchObject({
      code: 0,
      errors: '',
    })
    expect((await readdir(folder.path)).toSorted()).toEqual([file])

    await using other = await startExecutable()
    expect(await runCay(['import', path, '--data', other.data])).toMatchObject({ code: 0 })
    await expectSample(other, 'team/app', content)
    const again = await runCay(['import', path, 'renamed/app', '--data', other.data])
    expect(again).toMatchObject({ code: 0, output: expect.stringContaining('imported 2 images') })
    await expectSample(other, 'renamed/app', content)
    const twice = await runCay(['import', path, '--data', other.data])
    expect(twice.output).toContain('imported 0 images, 0 blobs; 2 unchanged')
  },
)

test('transfer: cay import works without a server', async () => {
  await using folder = await temporaryFolder('transfer')
  const [path, data] = [join(folder.path, 'layout'), join(folder.path, 'data')]
  let content: ReturnType<typeof sample>
  {
    await using server = await startExecutable()
    content = await pushSample(server, 'app')
    await runCay(['export', path, 'app', '--data', server.data])
  }
  expect(await runCay(['import', path, '--data', data])).toMatchObject({ code: 0 })
  await using server = await startExecutable({ data })
  await expectSample(server, 'app', content)
})

test('transfer: cay import reads the data folder of registry:2, and reports what is damaged', async () => {
  await using folder = await temporaryFolder('transfer')
  const { layer, image, index, signature } = sample()
  const manifests = [index, image, signature]
  const tags = [['v1', index.digest]] as const
  writeRepository(folder.path, 'team/app', { blobs: [EMPTY, layer], manifests, tags })
  const broken = imageManifest(EMPTY, [randomBlob(10)])
  writeRepository(folder.path, 'broken', {
    blobs: [EMPTY],
    manifests: [broken],
    tags: [['v1', broken.digest]],
  })
  await using server = await startExecutable()
  const result = await runCay(['import', folder.path, '--data', server.data])
  expect(result.code).toBe(1)
  expect(result.errors).toContain('cay: 1 image could not be imported')
  expect(result.output).toMatch(/^broken:v1 +not copied +MANIFEST_BLOB_UNKNOWN/m)
  await expectSample(server, 'team/app', { layer, image, index, signature })
  expect(await bytesAt(server, '/v2/broken/manifests/v1')).toBe(404)
})

test('transfer: cay import reads an archive of docker save', async () => {
  await using folder = await temporaryFolder('transfer')
  const layer = randomBlob(LAYER_BYTES)
  const config = json({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  })
  await writeFile(join(folder.path, 'config.json'), config.bytes)
  await mkdir(join(folder.path, 'abc'))
  await writeFile(join(folder.path, 'abc', 'layer.tar'), layer.bytes)
  const images = [{ Config: 'config.json', RepoTags: ['team/app:1.0'], Layers: ['abc/layer.tar'] }]
  await writeFile(join(folder.path, 'manifest.json'), JSON.stringify(images))
  await using server = await startExecutable()
  expect(await runCay(['import', folder.path, '--data', server.data])).toMatchObject({ code: 0 })
  const manifest = (await (await server.fetch('/v2/team/app/manifests/1.0')).json()) as {
    layers: { digest: string }[]
  }
  expect(manifest.layers.map(({ digest }) => digest)).toEqual([layer.digest])
  expect(await bytesAt(server, `/v2/team/app/blobs/${layer.digest}`)).toEqual(layer.bytes)
})

test('transfer: names that lead elsewhere are refused', async () => {
  await using folder = await temporaryFolder('transfer')
  const index = imageIndex([])
  const file = join(folder.path, 'blobs/sha256', index.digest.slice(7))
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, index.bytes)
  await writeFile(join(folder.path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  const entry = {
    ...descriptor(index, OCI_INDEX),
    annotations: { 'org.opencontainers.image.ref.name': 'x/..%2fy:1' },
  }
  await writeFile(join(folder.path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }))
  await using server = await startExecutable()
  const result = await runCay(['import', folder.path, '--data', server.data])
  expect(result).toMatchObject({ code: 1, output: expect.stringContaining('invalid') })
  const nothing = await runCay(['import', server.data, '--data', server.data])
  expect(nothing).toMatchObject({ code: 1, errors: expect.stringContaining('is not an OCI layout') })
})

test('transfer: cay migrate copies a registry that needs a password, and continues where it stopped', async () => {
  await using source = await startWithAccounts()
  const admin = source.as(basic('admin'))
  const contents = new Map<string, ReturnType<typeof sample>>()
  for (const name of ['team/app', 'team/web', 'other']) contents.set(name, await pushSample(admin, name))
  await pushBlob(admin, 'team/app', randomBlob(20))
  await using folder = await temporaryFolder('transfer')
  const file = join(folder.path, 'password')
  await writeFile(file, `${PASSWORD}\n`)
  await using target = await startExecutable()
  const command = [
    'migrate',
    source.url,
    '--data',
    target.data,
    '--username',
    'admin',
    '--password-file',
    file,
  ]
  expect(await runCay([...command, '--pattern', 'team/*', '--prefix', 'old/'])).toMatchObject({
    code: 0,
    // Progress takes lines on a busy machine.
    errors: expect.not.stringContaining('cay:'),
  })
  for (const name of ['team/app', 'team/web'])
    await expectSample(target, `old/${name}`, contents.get(name) as never)
  expect(await bytesAt(target, '/v2/old/other/manifests/v1')).toBe(404)
  const again = await runCay([...command, '--pattern', 'team/*', '--prefix', 'old/'])
  expect(again.output).toContain('copied 0 images, 0 blobs; 2 unchanged')
  const wrong = await runCay(['migrate', source.url, '--data', target.data, '--repository', 'team/app'])
  expect(wrong).toMatchObject({ code: 1, errors: expect.stringContaining('refuses the credentials') })
})

test('transfer: an export since another one has only new blobs, and is refused without it', async () => {
  await using folder = await temporaryFolder('transfer')
  const [monday, friday] = [join(folder.path, 'monday.tar'), join(folder.path, 'friday.tar')]
  await using server = await startExecutable()
  const first = await pushSample(server, 'team/app')
  await runCay(['export', monday, 'team/app', '--data', server.data])
  const layer = randomBlob(LAYER_BYTES)
  const second = await pushImage(server, 'team/app', imageManifest(EMPTY, [first.layer, layer]), [layer], {
    reference: 'v2',
  })
  const since = await runCay(['export', friday, 'team/app', '--since', monday, '--data', server.data])
  expect(since).toMatchObject({ code: 0, output: expect.stringContaining(', 1 blob\n') })
  expect(Bun.file(friday).size).toBeLessThan(2 * LAYER_BYTES)

  await using other = await startExecutable()
  const gap = await runCay(['import', friday, '--data', other.data])
  expect(gap).toMatchObject({
    code: 1,
    errors: expect.stringMatching(/continues monday\.tar, and \d of its blobs .* nothing was imported/),
  })
  for (const tag of ['v1', 'v2']) expect(await bytesAt(other, `/v2/team/app/manifests/${tag}`)).toBe(404)
  for (const file of [monday, friday])
    expect((await runCay(['import', file, '--data', other.data])).code).toBe(0)
  await expectSample(other, 'team/app', first)
  expect(await bytesAt(other, '/v2/team/app/manifests/v2')).toEqual(second.bytes)
})

test('transfer: cay import keeps apart the images of one layout that have the same tag', async () => {
  await using folder = await temporaryFolder('transfer')
  const path = join(folder.path, 'layout')
  await using server = await startExecutable()
  const contents = new Map<string, ReturnType<typeof sample>>()
  for (const name of ['team/app', 'team/web']) contents.set(name, await pushSample(server, name))
  contents.set('copy', await pushSample(server, 'copy', contents.get('team/app')))
  await runCay(['export', path, ...contents.keys(), '--data', server.data])
  await using other = await startExecutable()
  expect((await runCay(['import', path, '--data', other.data])).code).toBe(0)
  for (const [name, content] of contents) await expectSample(other, name, content)
})

test('transfer: cay import refuses a tag whose manifest is damaged', async () => {
  await using folder = await temporaryFolder('transfer')
  const path = join(folder.path, 'layout')
  await using server = await startExecutable()
  const { digest } = await pushImage(server, 'app', imageManifest(EMPTY, []), [], { reference: 'v1' })
  await runCay(['export', path, 'app:v1', '--data', server.data])
  const file = join(path, 'blobs/sha256', digest.slice(7))
  await writeFile(file, `${await Bun.file(file).text()} `)
  await using other = await startExecutable()
  const result = await runCay(['import', path, '--data', other.data])
  expect(result).toMatchObject({
    code: 1,
    output: expect.stringMatching(new RegExp(`app:v1 +not copied +the bytes of ${digest} are damaged`)),
  })
  expect(await bytesAt(other, '/v2/app/manifests/v1')).toBe(404)
})
