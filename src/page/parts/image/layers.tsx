import { Download, FolderTree } from 'lucide-preact'
import { layerFilesPath, manifestPath } from '../../routes.ts'
import { type Answer, urlOf } from '../../server/api.ts'
import { countOf, formatPlatform, shortDigest, visible } from '../../values/format.ts'
import { Card } from '../card.tsx'
import { Bytes, DigestText, Time } from '../tables/values.tsx'

type Manifest = Answer<'repositories/:repository/manifests/:reference'>

/** The layers of an image with the commands that made them, and how much each adds. */
export function Layers({ repository, layers }: { repository: string; layers: Manifest['layers'] }) {
  if (layers.length === 0) return null
  const largest = Math.max(...layers.map(({ bytes }) => bytes), 1)
  const total = layers.reduce((sum, { bytes }) => sum + bytes, 0)
  return (
    <Card title={countOf(layers.length, 'layer')} aside={<Bytes of={total} />}>
      <ol class="layers">
        {layers.map((layer, index) => (
          <li key={`${layer.digest} ${index}`}>
            <code class="made-by" title={layer.createdBy}>
              {visible(
                layer.createdBy ?? annotationOf(layer, 'org.opencontainers.image.title') ?? layer.mediaType,
              )}
            </code>
            <span class="layer-size">
              <Bytes of={layer.bytes} />
              <span class="bar" aria-hidden>
                <span style={{ width: `${Math.max((100 * layer.bytes) / largest, 1)}%` }} />
              </span>
            </span>
            <DigestText of={layer.digest} />
            {layer.exists && (
              <a
                class="icon-button small"
                href={layerFilesPath(repository, layer.digest)}
                aria-label={`Files of ${layer.digest}`}
                title="Files"
              >
                <FolderTree aria-hidden />
              </a>
            )}
            {layer.exists && (
              <a
                class="icon-button small"
                href={blobUrl(repository, layer.digest)}
                download
                aria-label={`Download ${layer.digest}`}
                title="Download"
              >
                <Download aria-hidden />
              </a>
            )}
            {!layer.exists && <span class="chip warning">missing</span>}
          </li>
        ))}
      </ol>
    </Card>
  )
}

function blobUrl(repository: string, digest: string): string {
  return urlOf('repositories/:repository/blobs/:digest', { params: { repository, digest } })
}

/** The manifests of an index, by platform. */
export function Children({
  repository,
  manifests,
}: {
  repository: string
  manifests: Manifest['manifests']
}) {
  if (manifests.length === 0) return null
  return (
    <Card title={countOf(manifests.length, 'manifest')}>
      <ol class="layers">
        {manifests.map(({ digest, platform, kind, totalBytes, exists, mediaType, annotations }) => (
          <li key={digest}>
            {exists ? (
              <a class="made-by" href={manifestPath(repository, digest)}>
                {platform ? visible(formatPlatform(platform)) : (kind ?? mediaType)}
              </a>
            ) : (
              <span class="made-by">{platform ? visible(formatPlatform(platform)) : mediaType}</span>
            )}
            <span class="muted">{annotationOf({ annotations }, 'vnd.docker.reference.type') ?? kind}</span>
            <Bytes of={totalBytes} />
            <DigestText of={digest} />
            {!exists && <span class="chip warning">missing</span>}
          </li>
        ))}
      </ol>
    </Card>
  )
}

/** Every step of the build, also those without a layer. */
export function Steps({ history }: { history: Manifest['history'] }) {
  if (history.length === 0) return null
  return (
    <details class="card">
      <summary>
        <h2>{countOf(history.length, 'build step')}</h2>
      </summary>
      <ol class="layers">
        {history.map(({ createdBy = '', comment, createdAt, layer }, index) => (
          <li key={`${index} ${createdBy}`}>
            <code class="made-by">{visible(createdBy || comment || 'unknown')}</code>
            {createdAt && (
              <small>
                <Time at={createdAt} />
              </small>
            )}
            <code class="muted">{layer ? shortDigest(layer) : 'no layer'}</code>
          </li>
        ))}
      </ol>
    </details>
  )
}

/** Returns an annotation. The API's type does not express that their names are free. */
export function annotationOf(
  { annotations = {} }: { annotations?: object | undefined },
  name: string,
): string | undefined {
  return (annotations as Record<string, string>)[name]
}
