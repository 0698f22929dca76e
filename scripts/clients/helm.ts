import { deepEqual, equal, match } from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { CaseContext, Client } from './client.ts'

/** helm: charts in a registry. Two major versions are in use. */
export const helm3 = helm('helm3')
export const helm4 = helm('helm4')

const chart = {
  'Chart.yaml': 'apiVersion: v2\nname: quay\ndescription: a chart\ntype: application\nversion: VERSION\n',
  'values.yaml': 'replicas: 3\n',
  'templates/config.yaml':
    'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  replicas: "{{ .Values.replicas }}"\n',
}

function helm(name: 'helm3' | 'helm4'): Client {
  return {
    name,
    tools: [name],
    cases: {
      'push and pull': async (context) => {
        const url = await pushChart(context, name, '0.1.0')
        await pullAndCompare(context, url, '0.1.0')
      },
      'a version with a plus sign': async (context) => {
        const url = await pushChart(context, `${name}/plus`, '0.1.0+build.5')
        await pullAndCompare(context, url, '0.1.0+build.5')
        const response = await fetch(`http://${context.registry}/v2/${name}/plus/quay/tags/list`)
        deepEqual(await response.json(), { name: `${name}/plus/quay`, tags: ['0.1.0_build.5'] })
      },
      'show chart, and template': async (context) => {
        const url = await pushChart(context, `${name}/shown`, '0.1.0')
        const shown = await context.run('helm', 'show', 'chart', '--plain-http', url, '--version', '0.1.0')
        match(shown, /^name: quay$/m)
        const template = ['helm', 'template', 'release', url, '--plain-http', '--version', '0.1.0']
        match(await context.run(...template, '--set', 'replicas=5'), /replicas: "5"/)
      },
      'the newest version in a range': async (context) => {
        for (const version of ['1.2.0', '1.10.0', '2.0.0']) await pushChart(context, `${name}/range`, version)
        const url = `oci://${context.registry}/${name}/range/quay`
        const shown = await context.run('helm', 'show', 'chart', '--plain-http', url, '--version', '^1.0.0')
        equal(/^version: (.*)$/m.exec(shown)?.[1], '1.10.0')
      },
    },
  }
}

/** Packages the chart at a version, pushes it into a namespace, and returns its URL. */
async function pushChart(
  { registry, folder, run }: CaseContext,
  namespace: string,
  version: string,
): Promise<string> {
  for (const [path, text] of Object.entries(chart))
    await Bun.write(join(folder, 'quay', path), text.replace('VERSION', version))
  await run('helm', 'package', 'quay')
  await run('helm', 'push', '--plain-http', `quay-${version}.tgz`, `oci://${registry}/${namespace}`)
  return `oci://${registry}/${namespace}/quay`
}

async function pullAndCompare({ folder, run }: CaseContext, url: string, version: string): Promise<void> {
  await mkdir(join(folder, 'pulled'))
  await run('helm', 'pull', '--plain-http', url, '--version', version, '--destination', 'pulled')
  await run('cmp', `quay-${version}.tgz`, `pulled/quay-${version}.tgz`)
}
