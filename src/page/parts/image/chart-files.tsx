import { useState } from 'preact/hooks'
import { type Answer, fetchBody, urlOf } from '../../server/api.ts'
import { useResource } from '../../server/resource.ts'
import { visible } from '../../values/format.ts'
import { gunzip, readTar } from '../../values/tar.ts'
import { Failure } from '../states.tsx'
import { CopyButton } from '../tables/values.tsx'

type Layer = Answer<'repositories/:repository/manifests/:reference'>['layers'][number]

/** The largest chart that is read, how much of it is decompressed, and how much of a file is shown. */
const CHART_BYTES_MAX = 4 * 1024 * 1024
const UNPACKED_BYTES_MAX = 16 * 1024 * 1024
const SHOWN_CHARACTERS_MAX = 256 * 1024

const CHART = 'application/vnd.cncf.helm.chart.content.v1.tar+gzip'

/** What is shown of a chart: the names of its files, and what they are called here. */
const names: Record<string, string> = {
  'readme.md': 'README',
  'values.yaml': 'Values',
  'chart.yaml': 'Chart',
}

/** The README, the values and the metadata of a Helm chart, as text. */
export function ChartFiles({ repository, layers }: { repository: string; layers: Layer[] }) {
  const layer = layers.find(
    ({ mediaType, bytes, exists }) => mediaType === CHART && exists && bytes <= CHART_BYTES_MAX,
  )
  const url = urlOf('repositories/:repository/blobs/:digest', {
    params: { repository, digest: layer?.digest ?? '' },
  })
  const found = useResource(layer && url, async (signal) => readChart(await fetchBody(url, signal)))
  const [chosen, setChosen] = useState('README')
  if (found.error) return <Failure error={found.error} retry={found.reload} />
  const files = found.data ?? {}
  const shown = Object.values(names).filter((name) => files[name] !== undefined)
  const current = shown.includes(chosen) ? chosen : shown[0]
  if (current === undefined) return null
  const text = files[current] ?? ''
  return (
    <section class="card">
      <header>
        <fieldset class="clients" aria-label="File of the chart">
          {shown.map((name) => (
            <button key={name} type="button" aria-pressed={name === current} onClick={() => setChosen(name)}>
              {name}
            </button>
          ))}
        </fieldset>
        <CopyButton text={text} what={current} />
      </header>
      <pre class="file-text">{visible(text.slice(0, SHOWN_CHARACTERS_MAX))}</pre>
      {text.length > SHOWN_CHARACTERS_MAX && (
        <p class="muted">The rest is left out, because it is too long.</p>
      )}
    </section>
  )
}

/** Returns the texts of a chart's own files, not of its subcharts. */
async function readChart(body: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Record<string, string>> {
  const files: Record<string, string> = {}
  // What is no archive has no files.
  const archive = await gunzip(body, UNPACKED_BYTES_MAX).catch(() => new Uint8Array())
  for (const { path, bytes } of readTar(archive)) {
    const [, file = '', ...deeper] = path.split('/')
    const name = deeper.length === 0 ? names[file.toLowerCase()] : undefined
    if (name !== undefined) files[name] ??= new TextDecoder().decode(bytes)
  }
  return files
}
