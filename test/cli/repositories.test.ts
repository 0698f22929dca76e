import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { build } from '../../scripts/build.ts'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest, referrersTag } from '../../src/oci/reference.ts'
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
import { until } from '../support/until.ts'

// Each test runs many commands.
setDefaultTimeout(60_000)

beforeAll(async () => {
  await build()
}, 60_000)

const layer = randomBlob(2000)
const configs = ['amd64', 'arm64'].map((architecture) => json({ os: 'linux', architecture, config: {} }))
const images = configs.map((config) => imageManifest(config, [layer]))
const index = imageIndex(
  images.map((image, i) =>
    descriptor(image, OCI_MANIFEST, { platform: { os: 'linux', architecture: ['amd64', 'arm64'][i] } }),
  ),
)
const signature = imageManifest(EMPTY, [], {
  artifactType: 'application/spdx+json',
  subject: descriptor(index, OCI_INDEX),
})

const note = imageManifest(EMPTY, [], { artifactType: 'text/note' })
const signed = imageManifest(EMPTY, [], { annotations: { 'signed by': 'somebody: at noon' } })

/** Starts a server on a folder, with an index of two images, an artifact that refers to it, and a second repository. */
async function startWithContent(data: string): Promise<TestServer> {
  const server = await startExecutable({ data })
  for (const config of configs) await pushBlob(server, 'library/app', config)
  for (const image of images) await pushImage(server, 'library/app', image, [layer])
  for (const reference of ['1.0', 'latest'])
    await pushManifest(server, 'library/app', index, { reference, type: OCI_INDEX })
  await pushManifest(server, 'library/app', signature)
  await pushImage(server, 'notes', note, [], { reference: 'x' })
  await pushManifest(server, 'notes', signed, { reference: `${referrersTag(parseDigest(note.digest))}.sig` })
  return server
}

describe('repositories, tags and manifests, on a running server', () => {
  const resources = new AsyncDisposableStack()
  let folder: TemporaryFolder
  let server: TestServer
  beforeAll(async () => {
    folder = resources.use(await temporaryFolder('repositories'))
    server = resources.use(await startWithContent(folder.path))
  }, 60_000)
  afterAll(() => resources.disposeAsync())

  const run = (line: string) => runCay([...line.split(' '), '--data', folder.path])
  const cay = async (line: string) => {
    const { code, output, errors } = await run(line)
    expect([line, code, errors]).toEqual([line, 0, ''])
    return output
  }
  /** Runs the command with --json, and expects the API's own JSON if the path is given. */
  const jsonOf = async (line: string, path: string) => {
    const said = JSON.parse(await cay(`${line} --json`))
    expect(said).toEqual(await (await server.fetch(`/api/v1/repositories${path}`)).json())
    return said
  }
  const asked = async (line: string) => {
    const { code, output, errors } = await run(line)
    expect([line, code, output]).toEqual([line, 2, ''])
    return errors
  }

  test('are listed and shown', async () => {
    await jsonOf('repo list', '')
    expect(await cay('repo list')).toMatch(/^NAME +TAGS +SIZE +OWN .*\nlibrary\/app +2 +\d.*\nnotes +2 +2 B/)
    expect(await cay('repo list --search APP --limit 1')).toMatch(/^NAME .*\nlibrary\/app .*\n$/)
    await jsonOf('repo show library/app', '/library%2Fapp')
    const card = await cay('repo show library/app')
    expect(card).toMatch(
      /^Name: +library\/app\nKind: +.*index.*\nPlatforms: +linux\/amd64, linux\/arm64\nTags: +2\nManifests: +4\n/i,
    )
    expect(card).toMatch(/\n\nTags\nTAG +DIGEST .*\nlatest +sha256:.*\n1\.0 +sha256:/)
    await jsonOf('tag list library/app', '/library%2Fapp/tags')
    expect(await cay('tag list library/app --sort name --order desc')).toMatch(/\nlatest .*\n1\.0 /)
    await jsonOf('tag show library/app 1.0', '/library%2Fapp/tags/1.0')
    expect(await cay('tag show library/app 1.0')).toMatch(
      /^Tag: +1\.0\nDigest: +sha256:.*^Platforms: +linux\/amd64, linux\/arm64$/ms,
    )
    await jsonOf('manifest list library/app', '/library%2Fapp/manifests')
    await jsonOf('manifest show library/app 1.0', '/library%2Fapp/manifests/1.0')
    expect(await cay('manifest show library/app latest')).toMatch(
      /^Digest: .*^Tags: +1\.0, latest$.*^Manifests\nPLATFORM +DIGEST .*^linux\/amd64 +sha256.* yes$.*^linux\/arm64 /ms,
    )
    expect(await cay(`manifest show library/app ${images[0]!.digest}`)).toMatch(
      /^Platform: +linux\/amd64$.*^Layers\nDIGEST .* 2\.0 KiB/ms,
    )
    expect(await cay(`manifest raw library/app ${index.digest}`)).toBe(new TextDecoder().decode(index.bytes))
    await jsonOf('manifest referrers library/app 1.0', '/library%2Fapp/manifests/1.0/referrers')
    expect(await cay('manifest referrers library/app 1.0')).toMatch(
      new RegExp(`^Subject: .*^${signature.digest} .* application/spdx\\+json `, 'ms'),
    )
    expect(await cay(`manifest show notes ${signed.digest}`)).toMatch(
      /\n\nAnnotations\nNAME +VALUE\nsigned by +somebody: at noon\n$/,
    )
    expect(await cay('repo show notes')).toMatch(/^Kind: +Artifact \(text\/note\)$/m)
    expect(await cay('event list --repository library/app --type manifest.push')).toContain(index.digest)
  })

  test('search prints what was found of each kind', async () => {
    expect(await cay('search app')).toMatch(/^\nRepositories\nNAME +SIZE\nlibrary\/app +.*\n$/)
    expect(await cay('search app:la')).toMatch(
      /^\nTags\nREPOSITORY +TAG +DIGEST +KIND\nlibrary\/app +latest /,
    )
    expect(await cay(`search ${signature.digest}`)).toMatch(
      /^\nManifests\nREPOSITORY +DIGEST +KIND\nlibrary\/app +sha256:/,
    )
    const { tags } = JSON.parse(await cay('search 1. --json'))
    expect(tags).toMatchObject({ items: [{ repository: 'library/app', name: '1.0' }], truncated: false })
    const { code, output, errors } = await run('search nothing-like-it')
    expect([code, output, errors]).toEqual([0, '', 'Nothing was found for "nothing-like-it".\n'])
  })

  test('not found: exit code 3', async () => {
    for (const line of ['repo show none', 'tag show library/app none', 'manifest show library/app none']) {
      const { code, output } = await run(line)
      expect([line, code, output]).toEqual([line, 3, ''])
    }
  })

  test('a repository is created and its settings are changed', async () => {
    await cay('repo create team/app --description Ours --untagged-days 7')
    expect((await run('repo create team/app')).code).toBe(1)
    await cay('repo set team/app --immutable-tags * --untagged-days default')
    expect(JSON.parse(await cay('repo show team/app --json'))).toMatchObject({
      description: 'Ours',
      immutableTags: ['*'],
    })
    expect(await asked('repo set team/app')).toContain('name at least one setting to change')
    expect(await asked('repo set team/app --untagged-days x')).toContain(
      '--untagged-days is "x": expected whole days',
    )
  })

  test('tag restore brings back a deleted tag, and asks before it moves an existing one', async () => {
    expect(await asked('tag delete library/app 1.0')).toMatch(
      /^cay: this deletes the tag library\/app:1\.0, which points to sha256:\w+; it can be restored with cay tag restore until .*; pass --yes/,
    )
    await cay('tag delete library/app 1.0 --yes')
    expect((await run('tag show library/app 1.0')).code).toBe(3)
    expect(await cay('tag history library/app 1.0')).toMatch(/ tag\.delete .* yes .*\n.* manifest\.push /)
    await cay(`tag restore library/app 1.0 --digest ${index.digest}`)
    expect(await asked('tag restore library/app 1.0 --at 2h')).toContain(
      'this moves the tag library/app:1.0 from sha256:',
    )
    for (const line of [
      'tag restore library/app 1.0',
      `tag restore library/app 1.0 --at 1h --digest ${index.digest}`,
    ])
      expect(await asked(line)).toContain('either --digest DIGEST or --at TIME')
    expect(await asked('tag restore library/app 1.0 --at yesterday')).toContain('invalid time "yesterday"')
  })

  test('tag set creates a tag, and tag expire sets and clears when it expires', async () => {
    await cay(`tag set library/app 2.0 ${images[0]!.digest}`)
    await cay('tag expire library/app 2.0 2d')
    const { expiresAt } = JSON.parse(await cay('tag show library/app 2.0 --json'))
    expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(86_400_000)
    await cay('tag expire library/app 2.0 never')
    expect(JSON.parse(await cay('tag show library/app 2.0 --json')).expiresAt).toBeUndefined()
    expect(await asked('tag expire library/app 2.0 soon')).toContain('invalid time "soon"')
  })

  test('manifest restore brings back a deleted manifest with its tags', async () => {
    const { digest } = images[0]!
    await cay(`tag set library/app 2.0 ${digest}`)
    expect(await asked(`manifest delete library/app ${digest}`)).toContain(
      ' from library/app, and 1 tag (2.0); it can be restored with cay manifest restore until ',
    )
    await cay(`manifest delete library/app ${digest} --yes`)
    expect(await cay('manifest list library/app --deleted')).toContain(digest)
    expect(await cay(`manifest restore library/app ${digest}`)).toBe(
      `restored library/app@${digest} and 1 tag: 2.0\n`,
    )
    expect((await run('tag show library/app 2.0')).code).toBe(0)
  })

  test('repo restore brings back a deleted repository, and repo rewind resets its tags', async () => {
    const { at } = JSON.parse(await cay('event list --limit 1 --json')).items[0]
    expect(await asked('repo delete library/app')).toMatch(
      /this deletes the repository library\/app: 3 tags, 4 manifests, \d.* KiB; it can be restored with cay repo restore until /,
    )
    await cay('repo delete library/app --yes')
    expect((await run('repo show library/app')).code).toBe(3)
    expect(await cay('repo list --deleted')).toMatch(/^NAME +SIZE +DELETED +RESTORABLE UNTIL\nlibrary\/app /)
    await cay('repo restore library/app')
    // A rewind does not undo a move in the very millisecond of its time.
    await until(() => Date.now() > Date.parse(at))
    await cay('tag delete library/app latest --yes')
    expect(await asked(`repo rewind library/app --at ${at}`)).toContain(
      `this resets the tags of library/app to where they were at ${at}: it restores 1 tag (latest); `,
    )
    expect(await cay(`repo rewind library/app --at ${at} --yes`)).toMatch(
      /^Tags restored: +1\nTags deleted: +0\n/,
    )
    expect((await run('tag show library/app latest')).code).toBe(0)
    expect(await asked('repo rewind library/app')).toContain('name the time with --at')
    expect(await cay('repo history library/app')).toMatch(/ repository\.rewind .*\n.* tag\.delete /)
  })

  test.skipIf(Bun.which('script') === null)(
    'a tag that moves while the confirmation waits is not deleted',
    async () => {
      const command = `${await build()} tag delete library/app raced --data ${folder.path}`
      const [first, second] = images.map(({ digest }) => digest)
      await cay(`tag set library/app raced ${first}`)
      const child = Bun.spawn(['script', '--quiet', '--return', '--command', command, '/dev/null'], {
        stdin: 'pipe',
        stdout: 'pipe',
      })
      let shown = ''
      let isAnswered = false
      const decoder = new TextDecoder()
      for await (const chunk of child.stdout) {
        shown += decoder.decode(chunk, { stream: true })
        if (isAnswered || !shown.includes('Continue? [y/N]')) continue
        isAnswered = true
        await cay(`tag set library/app raced ${second}`)
        child.stdin.write('y\n')
        child.stdin.flush()
      }
      expect([await child.exited, shown]).toEqual([
        1,
        expect.stringContaining('it has changed in the meantime, so nothing was done'),
      ])
      expect(JSON.parse(await cay('tag show library/app raced --json')).digest).toBe(second)
      await cay('tag delete library/app raced --yes')
    },
  )

  test('TAB completes repositories, tags and references', async () => {
    const complete = async (...words: string[]) => {
      const { code, output, errors } = await runCay(['complete', '--', ...words], { CAY_DATA: folder.path })
      expect([code, errors]).toEqual([0, ''])
      return output
        .split('\n')
        .slice(0, -2)
        .map((line) => line.split('\t')[0])
    }
    for (const [words, names] of [
      [['repo', 'show', 'lib'], ['library/app']],
      [
        ['tag', 'show', 'library/app', ''],
        ['1.0', '2.0', 'latest'],
      ],
      [['manifest', 'show', 'library/app', 'la'], ['latest']],
      [['tag', 'show', 'library/app:la'], ['library/app:latest']],
    ] as const) {
      // A completion leaves out names that arrive too late.
      await until(async () => (await complete(...words)).join(' ') === names.join(' '))
    }
  })
})

test('repositories, tags and manifests: commands give the same result without a server', async () => {
  await using folder = await temporaryFolder('repositories')
  const server = await startWithContent(folder.path)
  const run = async (line: string) => {
    const { code, output, errors } = await runCay([...line.split(' '), '--data', folder.path])
    return [code, output, errors]
  }
  const listed = await run('manifest list library/app --json')
  await server.stop()
  expect(await run('manifest list library/app --json')).toEqual(listed)
  expect(await run(`manifest raw library/app 1.0`)).toEqual([0, new TextDecoder().decode(index.bytes), ''])
  expect(await run('tag delete library/app 1.0 --yes')).toEqual([0, 'deleted library/app:1.0\n', ''])
  expect(await run(`tag restore library/app 1.0 --digest ${index.digest}`)).toEqual([
    0,
    `library/app:1.0 points to ${index.digest}\n`,
    '',
  ])
})
