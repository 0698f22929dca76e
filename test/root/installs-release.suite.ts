/** Builds everything that is released, and checks it: signatures, packages, the SBOM, the chart and the manifests. */

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { appendFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '../../package.json'
import { runCommand } from '../../scripts/lib/command.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { buildImage } from '../../scripts/packaging/container-image.ts'
import { compileReleased, releaseFolder } from '../../scripts/packaging/platform.ts'
import { bringTools, goModule } from '../../scripts/toolchain/toolchain.ts'
import { indexDigest } from './installation.ts'

const releaseSecondsMax = 900
const kubernetes = { module: 'k8s.io/kubernetes', version: 'v1.37.2' }
const operator = { module: 'github.com/prometheus-operator/prometheus-operator', version: 'v0.93.0' }

/** Settings of the chart that together use every template. */
const settings = [
  [],
  ['admin.password=secret', 'config=listen = []', 'env.CAY_LOG_LEVEL=debug', 'podAnnotations.a=b'],
  [
    'tls.existingSecret=tls',
    'ingress.enabled=true',
    'ingress.tlsSecret=tls',
    'externalUrl=https://a.example',
  ],
  ['serviceMonitor.enabled=true', 'serviceMonitor.tokenSecret=token', 'persistence.storageClass=fast'],
]

/** Prints None if the SBOM follows the schema, otherwise what is wrong. */
const validate = `
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open('cay.cdx.json').read()))
`

let tools: Awaited<ReturnType<typeof bringTools>>
let folder: TemporaryFolder

beforeAll(async () => {
  tools = await bringTools(['minisign', 'cyclonedx', 'rpmbuild', 'helm4', 'kubeconform'])
  folder = await temporaryFolder('release')
  await runCommand([tools.minisign!, '-G', '-W', '-s', inFolder('key'), '-p', inFolder('key.pub')])
  const env = { ...process.env, CAY_SIGNING_KEY: inFolder('key') }
  await runCommand([process.execPath, 'scripts/main.ts', 'release'], { env, secondsMax: releaseSecondsMax })
})

afterAll(() => folder[Symbol.asyncDispose]())

test('release: it has every kind of file, and an SBOM that follows its schema', async () => {
  const names = (await released('SHA256SUMS').text()).trim().split(/\n\S+ {2}|^\S+ {2}/)
  const kinds = [
    /^cay-linux-/,
    /\.exe$/,
    /\.deb$/,
    /\.rpm$/,
    /\.tgz$/,
    /-image\.tar$/,
    /\.yaml$/,
    /\.cdx\.json$/,
  ]
  expect(kinds.filter((kind) => !names.some((name) => kind.test(name)))).toEqual([])
  expect(await inRelease(join(tools.cyclonedx!, '..', 'python'), '-c', validate)).toBe('None\n')
  expect(await inRelease('./cay-linux-x64', 'licenses')).toBe(await released('LICENSES.txt').text())
  expect(await released('NOTES.md').text()).toMatch(/^# cay .*\n\n## /)
})

test('release: built again, the executable has the same bytes and the image the same digests', async () => {
  const [path = ''] = await compileReleased(['cay-linux-x64'], inFolder('again'))
  await runCommand(['cmp', path, join(releaseFolder, 'cay-linux-x64')])
  const layout = inFolder('layout')
  await mkdir(layout)
  await runCommand(['tar', '-x', '-f', join(releaseFolder, `cay-${version}-image.tar`), '-C', layout])
  const again = await buildImage(inFolder('image'))
  expect(await indexDigest(again)).toBe(await indexDigest(layout))
  const index = (of: string) => Bun.file(join(of, 'index.json')).json()
  expect(await index(again)).toEqual(await index(layout))
})

test('rpm: it installs files that run', async () => {
  const rpm = join(tools.rpmbuild!, '..', 'rpm')
  const root = inFolder('root')
  const path = join(releaseFolder, `cay-${version}-1.x86_64.rpm`)
  await runCommand([rpm, '--install', '--root', root, '--nodeps', '--noscripts', '--ignorearch', path])
  expect(await runCommand([join(root, 'usr/bin/cay'), '--version'])).toStartWith('cay ')
  expect(await runCommand([rpm, '--query', '--configfiles', '--root', root, 'cay'])).toContain(
    '/etc/default/cay',
  )
})

test('kubernetes: the manifests and the chart with each setting follow the schemas', async () => {
  const schemas = await writeSchemas(inFolder('schemas'))
  const check = [tools.kubeconform!, '-strict', '-summary', '-schema-location', schemas]
  const made = ['kubernetes.yaml', 'servicemonitor.yaml'].map((name) => join(releaseFolder, name))
  expect(await runCommand([...check, ...made])).toContain('Valid: 3, Invalid: 0, Errors: 0, Skipped: 0')
  for (const chosen of settings) {
    const set = chosen.flatMap((one) => ['--set', one])
    const input = await inRelease(tools.helm4!, 'template', 'cay', `cay-${version}.tgz`, ...set)
    expect(await runCommand([...check, '-'], { input })).toContain('Invalid: 0, Errors: 0, Skipped: 0')
  }
  // A check that cannot fail proves nothing.
  const wrong = (await released('kubernetes.yaml').text()).replace('serviceName:', 'serviceNam:')
  await expect(runCommand([...check, '-'], { input: wrong })).rejects.toThrow(/serviceNam/)
})

test('helm: it lints the chart, pushes it to cay, and pulls the same', async () => {
  const chart = `cay-${version}.tgz`
  await inRelease(tools.helm4!, 'lint', '--strict', chart)
  await using server = await startServer()
  const charts = `oci://${server.address}/charts`
  await inRelease(tools.helm4!, 'push', chart, charts, '--plain-http')
  const pull = ['pull', `${charts}/cay`, '--version', version, '--plain-http', '--destination', folder.path]
  await inRelease(tools.helm4!, ...pull)
  expect(await Bun.file(inFolder(chart)).bytes()).toEqual(await released(chart).bytes())
})

test('release: the signed checksums find a changed file, and the signature finds changed checksums', async () => {
  const verify = () => inRelease(tools.minisign!, '-V', '-p', inFolder('key.pub'), '-m', 'SHA256SUMS')
  const check = () => inRelease('sha256sum', '--check', '--strict', '--quiet', 'SHA256SUMS')
  expect(await verify()).toContain(`Trusted comment: cay ${version}`)
  await check()
  await appendFile(join(releaseFolder, 'compose.yaml'), '\n')
  await expect(check()).rejects.toThrow(/compose\.yaml: FAILED/)
  await appendFile(join(releaseFolder, 'SHA256SUMS'), '\n')
  await expect(verify()).rejects.toThrow(/Signature verification failed/)
})

const inFolder = (name: string) => join(folder.path, name)
const released = (name: string) => Bun.file(join(releaseFolder, name))

/** Runs a command in the folder of the release, with a home of its own. */
function inRelease(...command: string[]): Promise<string> {
  return runCommand(command, { cwd: releaseFolder, env: { PATH: process.env.PATH, HOME: folder.path } })
}

/** A part of a schema, as Kubernetes publishes it. */
type Schema = { [key: string]: unknown }

/** Writes the schemas from the Go modules that publish them, and returns their location for kubeconform. */
async function writeSchemas(to: string): Promise<string> {
  await mkdir(to)
  const source = await goModule(kubernetes.module, kubernetes.version)
  const { definitions } = await Bun.file(join(source, 'api/openapi-spec/swagger.json')).json()
  const kinds = strict(definitions) as Record<string, Schema>
  kinds['io.k8s.apimachinery.pkg.util.intstr.IntOrString'] = { type: ['string', 'integer'] }
  kinds['io.k8s.apimachinery.pkg.api.resource.Quantity'] = { type: ['string', 'number'] }
  // kubeconform looks for the kind, the first word of the group, and the version.
  const write = (schema: unknown, kind: string, group: string, at: string) => {
    const parts = [kind.toLowerCase(), group.split('.')[0], at].filter((part) => part !== '')
    return Bun.write(join(to, `${parts.join('-')}.json`), JSON.stringify(schema))
  }
  for (const [name, schema] of Object.entries(kinds)) {
    const names = (schema['x-kubernetes-group-version-kind'] ?? []) as Record<string, string>[]
    const document = { $ref: `#/definitions/${name}`, definitions: kinds }
    for (const { group = '', version: at = '', kind = '' } of names) await write(document, kind, group, at)
  }
  const crd = join(await goModule(operator.module, operator.version), 'example/prometheus-operator-crd')
  const text = await Bun.file(join(crd, 'monitoring.coreos.com_servicemonitors.yaml')).text()
  const { spec } = Bun.YAML.parse(text) as { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } }
  await write(
    strict(spec.versions[0]?.schema.openAPIV3Schema),
    'ServiceMonitor',
    'monitoring.coreos.com',
    'v1',
  )
  return `${to}/{{ .ResourceKind }}{{ .KindSuffix }}.json`
}

/** Refuses members that a schema does not know, so that a misspelt one is found. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict)
  if (typeof schema !== 'object' || schema === null) return schema
  const made: Schema = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, strict(value)]))
  const isObject = typeof made.properties === 'object' && made.type === 'object'
  if (isObject && made.additionalProperties === undefined) made.additionalProperties = false
  return made
}
