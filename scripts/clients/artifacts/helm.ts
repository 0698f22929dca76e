import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../lib/command.ts'
import type { CaseContext, Client } from '../client.ts'
import { Published } from '../published.ts'

/** helm: charts in a registry. Two major versions are in use. */
export const helm3 = helm('helm3')
export const helm4 = helm('helm4')

const chart = {
  'Chart.yaml': 'apiVersion: v2\nname: quay\ndescription: a chart\ntype: application\nversion: VERSION\n',
  'values.yaml': 'replicas: 3\n',
  'templates/config.yaml':
    'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  replicas: "{{ .Values.replicas }}"\n',
}

const signer = 'Quay <quay@example.org>'

function helm(name: 'helm3' | 'helm4'): Client {
  return {
    name,
    tools: [name, 'gpg'],
    setUp: makeKeys,
    cases: {
      'push, pull and delete': async (context) => {
        const url = await pushChart(context, name, '0.1.0')
        await pullAndCompare(context, url, '0.1.0')
        const published = new Published(context.registry, `${name}/quay`)
        await published.expectTags('0.1.0')
        await published.delete('0.1.0')
        await rejects(context.run`helm pull --plain-http ${url} --version 0.1.0`, /not found/)
      },
      'a version with a plus sign': async (context) => {
        const url = await pushChart(context, `${name}/plus`, '0.1.0+build.5')
        await pullAndCompare(context, url, '0.1.0+build.5')
        await new Published(context.registry, `${name}/plus/quay`).expectTags('0.1.0_build.5')
      },
      'the newest version of a range, by the tags': async (context) => {
        for (const version of ['1.2.0', '1.10.0', '2.0.0']) await pushChart(context, `${name}/range`, version)
        const url = `oci://${context.registry}/${name}/range/quay`
        const shown = await context.run`helm show chart --plain-http ${url} --version ^1.0.0`
        equal(/^version: (.*)$/m.exec(shown)?.[1], '1.10.0')
      },
      'provenance: sign, push, pull and verify': (context) => verifyProvenance(context, `${name}/signed`),
      'a dependency from the registry': (context) => updateDependencies(context, `${name}/parts`),
    },
  }
}

/** Makes a key to sign charts with, and the two files that helm reads keys from. */
async function makeKeys(home: string): Promise<{ env: Record<string, string> }> {
  const keys = join(home, 'keys')
  await mkdir(keys, { mode: 0o700 })
  const gpg = ['gpg', '--homedir', keys, '--batch', '--quiet', '--pinentry-mode', 'loopback']
  try {
    await runCommand([...gpg, '--passphrase', '', '--quick-generate-key', signer, 'rsa2048', 'sign', 'never'])
    for (const [option, file] of [
      ['--export-secret-keys', 'secret.gpg'],
      ['--export', 'public.gpg'],
    ] as const)
      await runCommand([...gpg, '--output', join(home, file), option])
  } finally {
    await runCommand(['gpgconf', '--homedir', keys, '--kill', 'all'])
  }
  return { env: {} }
}

/** Packages the chart at a version, pushes it into a namespace, and returns its URL. */
async function pushChart(
  { registry, folder, run }: CaseContext,
  namespace: string,
  version: string,
  ...flags: string[]
): Promise<string> {
  for (const [path, text] of Object.entries(chart))
    await Bun.write(join(folder, 'quay', path), text.replace('VERSION', version))
  await run`helm package quay ${flags}`
  await run`helm push --plain-http quay-${version}.tgz oci://${registry}/${namespace}`
  return `oci://${registry}/${namespace}/quay`
}

async function pullAndCompare({ folder, run }: CaseContext, url: string, version: string): Promise<void> {
  await mkdir(join(folder, 'pulled'))
  await run`helm pull --plain-http ${url} --version ${version} --destination pulled`
  await run`cmp quay-${version}.tgz pulled/quay-${version}.tgz`
}

async function verifyProvenance(context: CaseContext, namespace: string): Promise<void> {
  const { folder, run } = context
  const url = await pushChart(
    context,
    namespace,
    '0.1.0',
    '--sign',
    '--key',
    signer,
    '--keyring',
    '../secret.gpg',
  )
  await mkdir(join(folder, 'pulled'))
  const verify = ['--verify', '--keyring', '../public.gpg', '--destination', 'pulled']
  match(await run`helm pull --plain-http ${url} --version 0.1.0 ${verify}`, /Signed by: Quay/)
  await run`cmp quay-0.1.0.tgz.prov pulled/quay-0.1.0.tgz.prov`
  const { json } = await new Published(context.registry, `${namespace}/quay`).manifest('0.1.0')
  const types = json.layers.map(({ mediaType }: { mediaType: string }) => mediaType)
  deepEqual(types.sort(), [
    'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
    'application/vnd.cncf.helm.chart.provenance.v1.prov',
  ])
}

async function updateDependencies(context: CaseContext, namespace: string): Promise<void> {
  const { registry, folder, run } = context
  await pushChart(context, namespace, '0.1.0')
  const dependency = `- name: quay\n  version: ^0.1.0\n  repository: oci://${registry}/${namespace}\n`
  const text = `apiVersion: v2\nname: harbour\nversion: 1.0.0\ndependencies:\n${dependency}`
  await Bun.write(join(folder, 'harbour', 'Chart.yaml'), text)
  await run`helm dependency update --plain-http harbour`
  deepEqual(await readdir(join(folder, 'harbour', 'charts')), ['quay-0.1.0.tgz'])
  await run`cmp quay-0.1.0.tgz harbour/charts/quay-0.1.0.tgz`
  match(await run`helm template example harbour`, /replicas: "3"/)
}
