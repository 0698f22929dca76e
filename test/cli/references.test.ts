import { beforeAll, expect, test } from 'bun:test'
import { build } from '../../scripts/build.ts'
import { formatReference, parseReferences } from '../../src/cli/input.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'

beforeAll(async () => {
  await build()
}, 60_000)

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`
const MANY = { max: Number.POSITIVE_INFINITY }

test.each([
  [['app:1.0'], ['app:1.0']],
  [['app', '1.0'], ['app:1.0']],
  [[`team/app@${DIGEST}`], [`team/app@${DIGEST}`]],
  [[`app:1.0@${DIGEST}`], [`app@${DIGEST}`]],
  [['app@sha256:0123456789ab'], ['app@sha256:0123456789ab']],
  [['app', 'sha256:0123456789ab'], ['app@sha256:0123456789ab']],
  [['app@0123456789ab'], ['app@sha256:0123456789ab']],
  [
    ['app', '1.0', '1.1'],
    ['app:1.0', 'app:1.1'],
  ],
  [
    ['app:1.0', 'other:2'],
    ['app:1.0', 'other:2'],
  ],
])('references: %j are read as they are printed', (words, expected) => {
  expect(parseReferences(words, MANY).map(formatReference)).toEqual(expected)
})

test.each([[[]], [['app']], [['app:1.0', 'other']], [['app:']], [[':1']], [['a:b:c']], [['@sha256:0']]])(
  'references: %j are refused with the form that is expected',
  (words) => {
    expect(() => parseReferences(words, MANY)).toThrow('expected REPOSITORY:TAG')
  },
)

test('references: two are refused where one is expected', () => {
  expect(() => parseReferences(['app', '1.0', '1.1'])).toThrow('expected REPOSITORY:TAG or REPOSITORY@DIGEST')
})

test('references: commands take tags and digests as they are printed, also shortened', async () => {
  await using server = await startExecutable()
  const layer = randomBlob(1000)
  const image = imageManifest(EMPTY, [layer])
  await pushImage(server, 'team/app', image, [layer], { reference: '1.0' })
  const run = (line: string) => runCay([...line.split(' '), '--data', server.data])
  const cay = async (line: string) => {
    const { code, output, errors } = await run(line)
    expect([line, code, errors]).toEqual([line, 0, ''])
    return output
  }
  const asked = async (line: string) => {
    const { code, errors } = await run(line)
    expect([line, code]).toEqual([line, 2])
    return errors
  }
  const { digest } = image
  const short = digest.slice(0, 'sha256:'.length + 12)
  expect(await cay(`tag set team/app:a team/app@${short}`)).toBe(`team/app:a points to ${digest}\n`)
  expect(await cay('tag set team/app:b team/app:a')).toBe(`team/app:b points to ${digest}\n`)
  expect(await cay(`tag set team/app:c ${short}`)).toBe(`team/app:c points to ${digest}\n`)
  expect(await cay(`manifest show team/app@${short}`)).toMatch(new RegExp(`^Digest: +${digest}$`, 'm'))
  expect(await cay(`blob show ${layer.digest.slice(0, 20)}`)).toContain(layer.digest)
  expect(await asked('tag set team/app:c other:1')).toContain('only point to a manifest of team/app')
  expect(await asked('tag show team/app')).toContain('expected REPOSITORY:TAG')
  expect((await run('manifest show team/app@sha256:000000000000')).errors).toBe(
    'cay: no digest in team/app begins with sha256:000000000000\n',
  )
  expect(await asked('tag delete team/app:a team/app:b')).toMatch(
    /^cay: this deletes 2 tags: team\/app:a, which points to sha256:\w+; team\/app:b, which /,
  )
  expect(await cay('tag rm team/app:a team/app:b team/app:c --yes')).toBe(
    'deleted team/app:a, team/app:b, team/app:c\n',
  )
  expect(await cay('tag restore team/app:a')).toBe(`team/app:a points to ${digest}\n`)
  await cay('tag delete team/app a --yes')
  expect((await run('tag restore team/app:never')).code).toBe(3)
}, 60_000)
