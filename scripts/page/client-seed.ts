import { mkdir, rm } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { containersHome } from '../../test/clients/homes.ts'
import { type Run, runCommand, wordsOf } from '../lib/command.ts'
import { makeImage, writeLayout } from '../lib/image.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { hostile, password } from './hostile.ts'

interface Seeding {
  registry: string
  folder: string
  run: Run
}

/** Pushes content with real clients, as the server admin: an image, copies of it, a chart, artifacts and signatures. */
export async function seedWithClients(registry: string): Promise<void> {
  const paths = await bringTools(['buildah', 'skopeo', 'crane', 'helm3', 'oras', 'cosign3'])
  await using home = await temporaryFolder('page-clients')
  const folder = join(home.path, 'work')
  await mkdir(folder)
  const settings = await containersHome(home.path)
  const credentials = join(home.path, '.docker', 'config.json')
  const auth = btoa(`admin:${password}`)
  await Bun.write(credentials, JSON.stringify({ auths: { [registry]: { auth } } }))
  const folders = new Set(Object.values(paths).map((path) => dirname(path)))
  const env = {
    ...settings.env,
    PATH: [...folders, '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(delimiter),
    HOME: home.path,
    TMPDIR: home.path,
    REGISTRY_AUTH_FILE: credentials,
    HELM_REGISTRY_CONFIG: credentials,
    COSIGN_PASSWORD: 'for a check',
    COSIGN_EXPERIMENTAL: '1',
  }
  const run: Run = (...command) => runCommand(wordsOf(...command), { cwd: folder, env })
  for (const push of [pushBuilt, pushSigned, pushChart, pushArtifact]) await push({ registry, folder, run })
}

/** Builds an image with buildah, and copies it with skopeo. */
async function pushBuilt({ registry, folder, run }: Seeding): Promise<void> {
  const name = `${registry}/team/site:1.0`
  await Bun.write(join(folder, 'site', 'index.html'), '<h1>The site</h1>\n')
  await Bun.write(join(folder, 'site', 'assets', 'photo.bin'), crypto.getRandomValues(new Uint8Array(60_000)))
  await Bun.write(join(folder, 'site', '<img src=x onerror=document.title=1>\u202etxt.exe'), 'hostile\n')
  const building = (await run`buildah from scratch`).trim()
  await run`buildah copy ${building} site /srv`
  const says = { source: 'https://git.example.com/team/site', licenses: 'MIT', description: hostile.html }
  const labels = Object.entries(says).flatMap(([key, text]) => [
    '--label',
    `org.opencontainers.image.${key}=${text}`,
  ])
  await run`buildah config --port 8080 --user 1000 --env MODE=production ${labels} --cmd /srv/run ${building}`
  await run`buildah commit --quiet ${building} ${name}`
  await run`buildah push --tls-verify=false ${name}`
  await pushNext(building, `${registry}/team/site:2.0`, run)
  await run`buildah rm --all`
  await run`buildah rmi --all --force`
  const plain = ['--src-tls-verify=false', '--dest-tls-verify=false']
  await run`skopeo copy ${plain} docker://${name} docker://${registry}/mirror/site:1.0`
}

/** Changes what was built, and pushes it as another image: a file is changed, one is added, and one is removed. */
async function pushNext(building: string, name: string, run: Run): Promise<void> {
  const site = join((await run`buildah mount ${building}`).trim(), 'srv')
  await Bun.write(join(site, 'index.html'), '<h1>The next site</h1>\n')
  await Bun.write(join(site, 'news.html'), '<h1>The news</h1>\n')
  await rm(join(site, 'assets', 'photo.bin'))
  await run`buildah umount ${building}`
  await run`buildah commit --quiet ${building} ${name}`
  await run`buildah push --tls-verify=false ${name}`
}

/** Pushes an image with crane, and signs and attests it with cosign. */
async function pushSigned({ registry, folder, run }: Seeding): Promise<void> {
  const image = await makeImage({ layerCount: 2, layerBytes: 150_000 })
  await writeLayout(join(folder, 'tool'), image, '1')
  await run`crane push --insecure tool ${registry}/team/tool:3.1`
  const name = `${registry}/team/tool@${image.descriptor.digest}`
  await run`cosign generate-key-pair`
  await Bun.write(join(folder, 'predicate.json'), JSON.stringify({ builder: { id: hostile.html } }))
  const offline = ['--tlog-upload=false', '--use-signing-config=false', '--yes', '--allow-http-registry']
  const flags = ['--key', 'cosign.key', '--new-bundle-format=true', ...offline]
  await run`cosign sign ${flags} ${name}`
  await run`cosign attest ${flags} --type custom --predicate predicate.json ${name}`
}

/** Packages a chart with helm, and pushes it. */
async function pushChart({ registry, folder, run }: Seeding): Promise<void> {
  const files = {
    'Chart.yaml':
      'apiVersion: v2\nname: gateway\ndescription: Routes traffic to the services\ntype: application\nversion: 3.2.1\n',
    'values.yaml': 'replicas: 3\n',
    'README.md': `# Gateway\n\nRoutes traffic to the services. ${hostile.html} [a link](${hostile.link}) ${hostile.reversed}\n`,
    'templates/config.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: gateway\n',
  }
  for (const [path, text] of Object.entries(files)) await Bun.write(join(folder, 'gateway', path), text)
  await run`helm package gateway`
  await run`helm push --plain-http gateway-3.2.1.tgz oci://${registry}/charts`
}

/** Pushes an artifact with oras, and attaches a note to it. */
async function pushArtifact({ registry, folder, run }: Seeding): Promise<void> {
  await Bun.write(join(folder, 'weights.bin'), crypto.getRandomValues(new Uint8Array(200_000)))
  await Bun.write(join(folder, 'note.txt'), `${hostile.html}\n`)
  const name = `${registry}/models/summary:v1`
  const type = (kind: string) => ['--plain-http', '--artifact-type', `application/vnd.example.${kind}`]
  await run`oras push ${type('model')} ${name} weights.bin:application/vnd.example.weights`
  await run`oras attach ${type('note')} ${name} note.txt:text/plain`
}
