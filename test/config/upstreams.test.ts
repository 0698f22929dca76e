import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { formatSetting, loadConfig } from '../../src/config/config.ts'
import { SETTINGS } from '../../src/config/settings.ts'
import { maskCredentials, parseMirrors, readUpstreams } from '../../src/config/upstreams.ts'
import { failureOf } from '../support/failure.ts'

async function loadToml(folder: TemporaryFolder, text: string, flags: Record<string, string> = {}) {
  const file = join(folder.path, 'my.toml')
  await Bun.write(file, text)
  return (await loadConfig({ flags: { data: folder.path, ...flags }, file, environment: {} })).config
}

test('upstreams: a name and a table with only a name are the same, and Docker Hub has presets', async () => {
  await using folder = await temporaryFolder('upstreams')
  const byFlag = await loadToml(folder, '', { upstream: 'docker.io,ghcr.io' })
  const byFile = await loadToml(folder, 'upstream = ["docker.io", "ghcr.io"]')
  const byTable = await loadToml(folder, '[[upstream]]\nname = "docker.io"\n[[upstream]]\nname = "ghcr.io"')
  for (const config of [byFlag, byFile, byTable]) {
    const [hub, ghcr] = readUpstreams(config)
    expect(hub).toMatchObject({ name: 'docker.io', namespace: 'library', connections: 32 })
    expect(hub?.urls.map(String)).toEqual(['https://registry-1.docker.io/'])
    expect(hub?.hosts).toContain('index.docker.io')
    expect(ghcr?.urls.map(String)).toEqual(['https://ghcr.io/'])
  }
})

test('upstreams: secrets are read from files, and are never shown', async () => {
  await using folder = await temporaryFolder('upstreams')
  await Bun.write(join(folder.path, 'token'), 'from-the-file\n')
  const auth = btoa('hub:from-docker')
  await Bun.write(
    join(folder.path, 'config.json'),
    JSON.stringify({ auths: { 'https://index.docker.io/v1/': { auth } } }),
  )
  const config = await loadToml(
    folder,
    `[[upstream]]
name = "a.example"
username = "me"
password-file = "${folder.path}/token"
[[upstream]]
name = "b.example"
username = "me"
password = "in-the-table"
[[upstream]]
name = "docker.io"
credentials = "${folder.path}/config.json"
`,
  )
  expect(readUpstreams(config).map(({ credentials }) => credentials)).toEqual([
    { username: 'me', password: 'from-the-file' },
    { username: 'me', password: 'in-the-table' },
    { username: 'hub', password: 'from-docker' },
  ])
  const shown = JSON.stringify(SETTINGS.map((setting) => formatSetting(setting, config)))
  expect(shown).toContain('a.example')
  expect(shown).not.toContain('in-the-table')
})

test.each([
  ['[[upstream]]\nname = "UP"', /upstream\.0\.name/],
  ['[[upstream]]\nname = "a"\nnonsense = 1', /nonsense/],
  ['[[upstream]]\nname = "a"\nbytes-per-second = "fast"', /upstream\.0\.bytes-per-second/],
  ['[[upstream]]\nurl = "https://a"', /upstream/],
])('upstreams: %j is refused with the path of the setting', async (text, words) => {
  await using folder = await temporaryFolder('upstreams')
  expect((await failureOf(loadToml(folder, text))).message).toMatch(words)
})

test.each([
  ['[[upstream]]\nname = "a"\nurl = "https://me:pw@a"', /url/],
  ['upstream = ["a", "a"]', /twice/],
  ['[[upstream]]\nname = "a"\nusername = "me"', /password/],
  ['[[upstream]]\nname = "a"\nca = "/nonexistent"', /ca: cannot read/],
])('upstreams: %j is refused when upstreams are read', async (text, words) => {
  await using folder = await temporaryFolder('upstreams')
  const read = async () => readUpstreams(await loadToml(folder, text))
  const { message } = await failureOf(read())
  expect(message).toMatch(words)
  expect(message).not.toContain('me:pw')
})

test.each([
  ['https://me:pw@a/b and https://you:pw@c', 'https://***@c'],
  ['https://a/b', 'https://a/b'],
  ['me@a', 'me@a'],
  ['me@a: https://b', 'me@a: https://b'],
])('upstreams: the credentials in %j are masked', (text, masked) => {
  expect(maskCredentials(text)).toBe(masked)
})

test('upstreams: a long text without credentials stays as it is', () => {
  const text = '/'.repeat(1_000_000)
  expect(maskCredentials(text)).toBe(text)
})

test('mirrors: each entry must name a configured upstream', async () => {
  await using folder = await temporaryFolder('upstreams')
  const config = await loadToml(folder, 'upstream = ["docker.io"]\nmirror = ["docker.io=127.0.0.1:5001"]')
  expect(parseMirrors(config)).toEqual([{ upstream: 'docker.io', listen: '127.0.0.1:5001' }])
  const other = await loadToml(folder, 'upstream = ["docker.io"]\nmirror = ["ghcr.io=127.0.0.1:5001"]')
  expect(() => parseMirrors(other)).toThrow(/ghcr.io/)
})
