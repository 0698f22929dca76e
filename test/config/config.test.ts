import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { formatBytes } from '../../src/cli/output.ts'
import { type ConfigSources, formatSetting, type LoadedConfig, loadConfig } from '../../src/config/config.ts'
import { SETTINGS } from '../../src/config/settings.ts'
import { failureOf } from '../support/failure.ts'

const load = (sources: Partial<ConfigSources>) =>
  loadConfig({
    flags: {},
    file: undefined,
    environment: {},
    ...sources,
    ...(sources.flags?.data ? {} : { flags: { data: '/nonexistent', ...sources.flags } }),
  })

/** Loads the configuration with a file of this text. */
async function loadFile(text: string, sources: Partial<ConfigSources> = {}) {
  await using folder = await temporaryFolder('config')
  const file = join(folder.path, 'my.toml')
  await Bun.write(file, text)
  return await load({ file, ...sources })
}

describe('the defaults', () => {
  test('are safe and complete', async () => {
    const { config, warnings } = await load({})
    expect(warnings).toEqual([])
    expect(config.listen).toEqual(['127.0.0.1:5000', '[::1]:5000'])
    expect(config).toMatchObject({
      access: 'accounts',
      trustedProxies: [],
      log: { level: 'info', format: 'auto' },
      manifests: { bytesMax: 4 * 1024 * 1024, sparse: 'index' },
      shutdown: { secondsMax: 30 },
    })
    const optional = ['tls', 'metadata', 'external-url', 'backup.folder', 'cache.free-bytes-min']
    for (const { keys, path } of SETTINGS.filter((setting) => !optional.includes(setting.path))) {
      const value = keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], config)
      expect([path, value === undefined]).toEqual([path, false])
    }
  })

  test('of the data folder depend on the operating system', async () => {
    const { config } = await loadConfig({
      flags: {},
      file: undefined,
      environment: { XDG_DATA_HOME: '/xdg', LOCALAPPDATA: 'C:\\xdg' },
    })
    const expected =
      process.getuid?.() === 0 ? '/var/lib/cay' : expect.stringMatching(/xdg.cay$|Application Support.cay$/)
    expect(config.data).toEqual(expected)
  })
})

describe('a setting', () => {
  const setting = SETTINGS.find(({ path }) => path === 'uploads.idle-seconds-max')

  test('can be a boolean in a nested section', async () => {
    const push = { 'docker.schema1.push': 'false' }
    expect((await load({ flags: push })).config.docker.schema1).toMatchObject({
      push: false,
      unsigned: false,
    })
    const { config } = await loadFile('[docker.schema1]\nunsigned = true\n')
    expect(config.docker.schema1).toMatchObject({ push: true, unsigned: true })
    expect((await failureOf(load({ environment: { CAY_DOCKER_SCHEMA1_PUSH: 'no' } }))).message).toBe(
      'docker.schema1.push (from CAY_DOCKER_SCHEMA1_PUSH) is "no": expected true | false',
    )
  })

  test('has the same name as a key, a flag and a variable', () => {
    expect(setting).toMatchObject({
      flag: '--uploads-idle-seconds-max',
      variable: 'CAY_UPLOADS_IDLE_SECONDS_MAX',
    })
    for (const form of ['path', 'flag', 'variable'] as const) {
      expect(new Set(SETTINGS.map((each) => each[form])).size).toBe(SETTINGS.length)
    }
  })

  test('is read from the flag, else the environment, else the file, else the default', async () => {
    const file = '[uploads]\nidle-seconds-max = 100\n'
    const environment = { CAY_UPLOADS_IDLE_SECONDS_MAX: '200' }
    const flags = { 'uploads.idle-seconds-max': '300' }
    const seconds = async (text: string, sources: Partial<ConfigSources>) =>
      (await loadFile(text, sources)).config.uploads.idleSecondsMax
    expect(await seconds('', {})).toBe(86_400)
    expect(await seconds(file, {})).toBe(100)
    expect(await seconds(file, { environment })).toBe(200)
    expect(await seconds(file, { environment, flags })).toBe(300)
    expect(await seconds('', { environment, flags })).toBe(300)
  })

  test('that is a list is comma-separated text or an array in the file', async () => {
    const expected = ['127.0.0.1:1', '[::1]:2']
    expect((await load({ flags: { listen: '127.0.0.1:1, [::1]:2' } })).config.listen).toEqual(expected)
    expect((await loadFile(`listen = ${JSON.stringify(expected)}`)).config.listen).toEqual(expected)
    expect((await loadFile('listen = "127.0.0.1:1"')).config.listen).toEqual(['127.0.0.1:1'])
    expect((await loadFile('[log]\n[uploads]\n')).config).toEqual((await loadFile('')).config)
  })
})

describe('a number', () => {
  test.each([
    ['gc.window-seconds', '14d', 1_209_600],
    ['gc.untagged-days', '2 weeks', 14],
    ['cache.deadline-milliseconds', '3s', 3000],
    ['cache.first-byte-seconds-max', '1m', 60],
    ['cache.bytes-max', '4GiB', 4 * 2 ** 30],
    ['cache.bytes-max', '50 GB', 50e9],
    ['blobs.bytes-max', '1048576', 1_048_576],
  ])('%s can have a unit: %s', async (path, text, expected) => {
    const keys = path.split('.').map((key) => key.replace(/-(.)/g, (_, letter) => letter.toUpperCase()))
    const read = ({ config }: LoadedConfig) =>
      keys.reduce((at: unknown, key) => Reflect.get(at as object, key), config)
    expect(read(await load({ flags: { [path]: text } }))).toBe(expected)
    const [section, key] = path.split('.')
    expect(read(await loadFile(`[${section}]\n${key} = "${text}"`))).toBe(expected)
  })

  test.each(['4 apples', '-1d', '1.5d', '', '1e3s', '4GiB GiB'])('%j is refused', async (text) => {
    await expect(load({ flags: { 'gc.window-seconds': text } })).rejects.toThrow('expected a duration')
    await expect(load({ flags: { 'cache.bytes-max': text } })).rejects.toThrow('expected a size')
  })

  test('of an upstream can have a unit', async () => {
    const { config } = await loadFile(
      '[[upstream]]\nname = "a"\nbytes-per-second = "10MiB"\nfresh-seconds = "1h"',
    )
    expect(config.upstream[0]).toMatchObject({ bytesPerSecond: 10 * 2 ** 20, freshSeconds: 3600 })
  })
})

describe('an invalid setting is named in the form in which it was written', () => {
  test.each<[Partial<ConfigSources>, string]>([
    [
      { flags: { 'uploads.idle-seconds-max': 'soon' } },
      'uploads.idle-seconds-max (from --uploads-idle-seconds-max) is "soon": expected a duration from 1m to 365d',
    ],
    [
      { environment: { CAY_UPLOADS_IDLE_SECONDS_MAX: '5' } },
      'uploads.idle-seconds-max (from CAY_UPLOADS_IDLE_SECONDS_MAX) is 5: expected a duration from 1m to 365d',
    ],
    [
      { environment: { CAY_MANIFESTS_SPARSE: 'maybe' } },
      'manifests.sparse (from CAY_MANIFESTS_SPARSE) is "maybe": expected none | index | all',
    ],
    [
      { flags: { 'log.level': 'loud' } },
      'log.level (from --log-level) is "loud": expected debug | info | warn | error',
    ],
    [
      { flags: { 'lists.page-max': '-1' } },
      'lists.page-max (from --lists-page-max) is "-1": expected a whole number',
    ],
    [{ flags: { 'lists.page-max': '1e3' } }, 'lists.page-max (from --lists-page-max) is "1e3"'],
    [{ environment: { CAY_DATA: '' } }, 'data (from CAY_DATA) is ""'],
    [{ flags: { metadata: '' } }, 'metadata (from --metadata) is ""'],
    [{ file: '/nonexistent/cay.toml' }, 'configuration file not found: /nonexistent/cay.toml'],
    [
      { environment: { CAY_CONFIG: '/nonexistent/other.toml' } },
      'configuration file not found: /nonexistent/other.toml',
    ],
  ])('%j', async (sources, message) => {
    const flags = sources.environment?.CAY_DATA === undefined ? { data: '/nonexistent' } : {}
    const wrong = loadConfig({
      file: undefined,
      environment: {},
      ...sources,
      flags: { ...flags, ...sources.flags },
    })
    await expect(wrong).rejects.toThrow(message)
  })

  test.each([
    ['[uploads]\nidle-seconds-max = "x"', /^uploads\.idle-seconds-max \(from .*my\.toml\) is "x": expected/],
    ['listen = [1]', /^listen \(from .*my\.toml\) is 1/],
    ['listen = []', /^listen \(from .*my\.toml\) is \[\]/],
    ['[uploads]\nidle = 5', /my\.toml: unknown setting "uploads\.idle"$/],
    [
      'idle-seconds-max = 100',
      /unknown setting "idle-seconds-max"; did you mean "uploads\.idle-seconds-max"\?$/,
    ],
    ['lisetn = "127.0.0.1:1"', /unknown setting "lisetn"; did you mean "listen"\?$/],
    ['[gc]\ngrace-second = 5', /unknown setting "gc\.grace-second"; did you mean "gc\.grace-seconds"\?$/],
    ['uploads = 5', /unknown setting "uploads"/],
    ['[uploads]\nidleSecondsMax = 100', /unknown setting "uploads\.idleSecondsMax"/],
    ['[nonsense]\n', /unknown setting "nonsense"/],
    ['[log.level]\nx = 1', /unknown setting "log\.level\.x"/],
    ['= 1', /my\.toml is not valid TOML: /],
  ])('%j', async (text, message) => {
    const error = await loadFile(text).then(
      () => undefined,
      (reason: Error) => reason,
    )
    expect(error?.message).toMatch(message)
    expect(error?.name).toBe('ConfigError')
  })
})

test('cay.toml in the data folder is read, unless --config or CAY_CONFIG names another file', async () => {
  await using folder = await temporaryFolder('config')
  const [own, other] = ['cay.toml', 'other.toml'].map((name) => join(folder.path, name)) as [string, string]
  await Bun.write(own, '[lists]\npage-max = 7')
  await Bun.write(other, '[log]\nlevel = "warn"')
  const data = { data: folder.path }
  expect((await load({ flags: data })).config.lists.pageMax).toBe(7)
  expect(
    (await loadConfig({ flags: {}, file: undefined, environment: { CAY_DATA: folder.path } })).config.lists
      .pageMax,
  ).toBe(7)
  for (const sources of [{ file: other }, { environment: { CAY_CONFIG: other } }]) {
    const { config } = await load({ flags: data, ...sources })
    expect([config.lists.pageMax, config.log.level]).toEqual([1000, 'warn'])
  }
})

test('an unknown CAY_* variable gives a warning, because Kubernetes sets such variables', async () => {
  const environment = {
    CAY_PORT: 'tcp://10.0.0.1:80',
    CAY_SERVICE_HOST: '10.0.0.1',
    CAY_LOG_LEVEL: 'warn',
    CAYENNE: '1',
  }
  const { config, warnings } = await load({ environment })
  expect(config.log.level).toBe('warn')
  expect(warnings).toEqual(
    ['CAY_PORT', 'CAY_SERVICE_HOST'].map(
      (name) => `the environment variable ${name} is not a setting of cay`,
    ),
  )
})

test('tables: numbers can have a unit, and only names are shown', async () => {
  const { config } = await loadFile(`
[[quota]]
namespace = "alice"
bytes-max = "10GiB"
[[retention]]
name = "ci"
repositories = ["ci/**"]
pushed-days = "14d"
`)
  expect(config).toMatchObject({
    quota: [{ namespace: 'alice', bytesMax: 10 * 2 ** 30 }],
    retention: [{ name: 'ci', pushedDays: 14 }],
  })
  const shown = Object.fromEntries(SETTINGS.map((setting) => [setting.path, formatSetting(setting, config)]))
  expect(shown).toMatchObject({ quota: ['alice'], retention: ['ci'], upstream: [] })
})

test.each(['quota', 'retention'])('%s: only cay.toml can set it', async (name) => {
  for (const sources of [
    { flags: { [name]: 'x' } },
    { environment: { [`CAY_${name.toUpperCase()}`]: 'x' } },
  ]) {
    expect((await failureOf(load(sources))).message).toContain(`use [[${name}]] in cay.toml`)
  }
})

test('docs/settings.md lists every setting with its default', async () => {
  const page = await Bun.file(join(import.meta.dir, '../../docs/settings.md')).text()
  const [, table = ''] = page.split('| `cay.toml` | default | description |\n| --- | --- | --- |\n')
  const rows =
    table
      .split('\n\n')[0]
      ?.split('\n')
      .map((row) => row.split(' | ')) ?? []
  expect(rows.map(([name]) => name)).toEqual(SETTINGS.map(({ path }) => `| \`${path}\``))
  for (const [at, { path, schema }] of SETTINGS.entries()) {
    if (schema.default === undefined || Array.isArray(schema.default)) continue
    const text = /bytes/.test(path) ? formatBytes(schema.default).replace('.0', '') : String(schema.default)
    expect([path, rows[at]?.[1]?.replaceAll('`', '')]).toEqual([path, text])
  }
})

describe('the defaults in a container', () => {
  const environment = { CAY_CONTAINER: 'true' }

  test('are an address that a published port reaches, without TLS, and private', async () => {
    const { config, warnings } = await loadConfig({ flags: {}, file: undefined, environment })
    expect(config).toMatchObject({ listen: ['0.0.0.0:5000'], tls: 'off', access: 'accounts' })
    expect([config.data, warnings]).toEqual(['/var/lib/cay', []])
  })

  test('are overridden by the file, like all defaults', async () => {
    const { config } = await loadFile('listen = ["127.0.0.1:5001"]\ntls = "auto"\n', { environment })
    expect(config).toMatchObject({ listen: ['127.0.0.1:5001'], tls: 'auto' })
  })
})
