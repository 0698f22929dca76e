import { beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { loadConfig } from '../../src/config/config.ts'
import { isText, SETTINGS } from '../../src/config/settings.ts'
import { version } from '../../src/config/values.ts'
import { runCay } from '../support/run-cay.ts'

beforeAll(async () => {
  await build()
}, 60_000)

describe('cay', () => {
  test('--version prints the release and the commit', async () => {
    const { code, output } = await runCay(['--version'])
    expect(code).toBe(0)
    expect(output).toMatch(
      new RegExp(`^cay ${version.replaceAll('.', '\\.')} \\(([0-9a-f]{12}(-dirty)?|unknown)\\)\n$`),
    )
  })

  test('help lists the commands', async () => {
    for (const args of [['help'], ['--help']]) {
      const { code, output, errors } = await runCay(args)
      expect([code, errors]).toEqual([0, ''])
      for (const command of ['serve', 'config', 'health', 'complete', 'help'])
        expect(output).toContain(`  ${command} `)
    }
  })

  test('help of serve lists every setting that is a text with its flag, variable and default', async () => {
    const { code, output } = await runCay(['help', 'serve'])
    expect(code).toBe(0)
    const words = output.replaceAll(/\s+/g, ' ')
    const tables = SETTINGS.filter((setting) => !isText(setting))
    expect(tables.map(({ path }) => path)).toEqual(['retention', 'quota'])
    for (const { flag } of tables) expect(words).not.toContain(flag)
    for (const { flag, variable } of SETTINGS.filter(isText)) {
      expect(words).toMatch(new RegExp(`${flag} [A-Z]+ `))
      expect(words).toContain(`${variable})`)
    }
    expect(words).toContain('Garbage collection: --gc-grace-seconds DURATION How long')
    expect(words).toContain('[1d] (a duration from 1s to 365d; CAY_GC_GRACE_SECONDS)')
  })

  test.each([[[]], [['nonsense']], [['serve', '--nonsense']], [['serve', 'x']], [['serve', '--listen']]])(
    '%j is a mistake: it says what to do, and the code is 2',
    async (args) => {
      const { code, output, errors } = await runCay(args)
      expect([code, output]).toEqual([2, ''])
      expect(errors).toMatch(/Commands:|run cay help for a list of commands/)
      expect(errors).not.toMatch(/at .*:\d+/)
    },
  )

  test('completes commands and flags in each shell', async () => {
    for (const shell of ['bash', 'zsh', 'fish', 'powershell']) {
      const { code, output } = await runCay(['complete', shell])
      expect(code).toBe(0)
      expect(output).toContain('cay')
    }
    const flags = await runCay(['complete', '--', 'serve', '--log'])
    expect(flags.output).toMatch(/^--log-level\t.*\n--log-format\t/)
    expect((await runCay(['complete', '--', ''])).output).toMatch(/^serve\t/m)
  })

  test.skipIf(Bun.which('bash') === null)(
    'bash completes commands, options, choices and files without other packages, also if the script is sourced twice',
    async () => {
      const script = (await runCay(['complete', 'bash'])).output
      const complete = (line: string) => {
        const code = `source /dev/stdin <<< "$SCRIPT"; source /dev/stdin <<< "$SCRIPT"
          COMP_LINE=$LINE COMP_POINT=\${#LINE}; __cay_complete; printf '%s\\n' "\${COMPREPLY[@]}"`
        const { stdout, stderr } = Bun.spawnSync(['bash', '--norc', '-c', code], {
          env: { PATH: `${process.env.PATH}`, SCRIPT: script, LINE: line, HOME: '/nonexistent' },
        })
        return [stdout.toString().trim().split('\n'), stderr.toString()]
      }
      const cay = await build()
      expect(complete(`${cay} us`)).toEqual([['user'], ''])
      expect(complete(`${cay} serve --log-f`)).toEqual([['--log-format'], ''])
      expect(complete(`${cay} grant create alice ** wr`)).toEqual([['writer'], ''])
      // Nothing to offer: bash then completes files.
      expect(complete(`${cay} serve --config /et`)).toEqual([[''], ''])
      expect(script).toContain('complete -o bashdefault -o default')
      expect(complete(`${cay} user show $(touch /tmp/cay-evaluated)`)).toEqual([[''], ''])
      expect(existsSync('/tmp/cay-evaluated')).toBe(false)
    },
  )

  test.skipIf(Bun.which('bash') === null)('the script for bash is one that bash takes', async () => {
    const { output } = await runCay(['complete', 'bash'])
    const bash = Bun.spawnSync(['bash', '-n'], { stdin: Buffer.from(output) })
    expect([bash.exitCode, bash.stderr.toString()]).toEqual([0, ''])
  })
})

describe('cay config', () => {
  test('prints the effective settings as a cay.toml that gives the same settings again', async () => {
    await using folder = await temporaryFolder('config')
    await Bun.write(join(folder.path, 'cay.toml'), '[lists]\npage-max = 7\n')
    const env = { CAY_LOG_LEVEL: 'warn', CAY_PORT: 'tcp://10.0.0.1:80' }
    const args = [
      'config',
      '--data',
      folder.path,
      '--uploads-digesters',
      '3',
      '--listen',
      '127.0.0.1:1,[::1]:2',
    ]
    const { code, output, errors } = await runCay(args, env)
    expect(code).toBe(0)
    expect(errors).toBe('cay: the environment variable CAY_PORT is not a setting of cay\n')
    expect(Bun.TOML.parse(output)).toMatchObject({
      listen: ['127.0.0.1:1', '[::1]:2'],
      data: folder.path,
      log: { level: 'warn' },
      lists: { 'page-max': 7 },
      uploads: { digesters: 3 },
    })
    const file = join(folder.path, 'printed.toml')
    await Bun.write(file, output)
    const { config } = await loadConfig({ flags: {}, file, environment: {} })
    expect(config).toMatchObject({
      data: folder.path,
      lists: { pageMax: 7 },
      uploads: { digesters: 3 },
      log: { level: 'warn' },
    })
  })

  test.each([
    [
      ['--lists-page-max', 'x'],
      {},
      'cay: lists.page-max (from --lists-page-max) is "x": expected a whole number from 1 to 100000\n',
    ],
    [
      [],
      { CAY_LOG_LEVEL: 'loud' },
      'cay: log.level (from CAY_LOG_LEVEL) is "loud": expected debug | info | warn | error\n',
    ],
    [['--config', '/nonexistent/a.toml'], {}, 'cay: configuration file not found: /nonexistent/a.toml\n'],
  ])('%j %j: exit code 2, with one line that says what is wrong', async (args, env, message) => {
    for (const command of ['config', 'serve', 'health']) {
      const ended = await runCay([command, '--data', '/nonexistent', ...args], env as Record<string, string>)
      expect(ended).toEqual({ code: 2, output: '', errors: message })
    }
  })
})
