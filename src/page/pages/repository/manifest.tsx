import { FolderTree, Trash2 } from 'lucide-preact'
import { useLocation } from 'preact-iso'
import { Card } from '../../parts/card.tsx'
import { ChartFiles } from '../../parts/image/chart-files.tsx'
import { ImageConfig, Labels } from '../../parts/image/image-config.tsx'
import { imageFacts } from '../../parts/image/image-facts.tsx'
import { Kind } from '../../parts/image/kind.tsx'
import { Children, Layers, Steps } from '../../parts/image/layers.tsx'
import { RawManifest } from '../../parts/image/raw-manifest.tsx'
import { Referrers } from '../../parts/image/referrers.tsx'
import { SbomPackages } from '../../parts/image/sbom-packages.tsx'
import { Kept } from '../../parts/kept.tsx'
import { PageHeader } from '../../parts/page-header.tsx'
import { PullCommands } from '../../parts/pull-commands.tsx'
import { Shown } from '../../parts/states.tsx'
import { Bytes, CopyButton, Facts, Time } from '../../parts/tables/values.tsx'
import { attemptIfSure } from '../../parts/toast.tsx'
import { filesPath, manifestPath, repositoryPath } from '../../routes.ts'
import { type Answer, change } from '../../server/api.ts'
import { useAnswer } from '../../server/resource.ts'
import { useRights } from '../../server/rights.ts'
import { caller } from '../../server/session.ts'
import { countOf, formatPlatform, shortDigest } from '../../values/format.ts'

export type ShownManifest = Answer<'repositories/:repository/manifests/:reference'>

interface ManifestPageProps {
  repository: string
  /** A tag or a digest. */
  reference: string
}

/** A manifest: what it is, what it consists of, and what refers to it. */
export function ManifestPage({ repository, reference }: ManifestPageProps) {
  const rights = useRights(repository)
  const found = useAnswer('repositories/:repository/manifests/:reference', {
    params: { repository, reference },
  })
  const isDigest = reference.includes(':')
  return (
    <Shown of={found} title={reference}>
      {(manifest) => (
        <>
          <PageHeader
            title={isDigest ? shortDigest(reference) : reference}
            trail={[
              ['Repositories', '/repositories'],
              [repository, repositoryPath(repository)],
            ]}
            subtitle={
              <span class="manifest-line">
                <Kind of={manifest.kind} />
                <code>{manifest.digest}</code>
                <CopyButton text={manifest.digest} what="digest" />
              </span>
            }
          >
            {manifest.layers.length > 0 && (
              <a class="button" href={filesPath(repository, reference)}>
                <FolderTree aria-hidden /> Files
              </a>
            )}
            {rights.has('delete') && <DeleteManifest repository={repository} manifest={manifest} />}
          </PageHeader>
          <PullCommands repository={repository} tag={{ name: reference, kind: manifest.kind }} />
          <div class="cards">
            <About repository={repository} manifest={manifest} />
            {manifest.image && <ImageConfig image={manifest.image} />}
          </div>
          <ChartFiles repository={repository} layers={manifest.layers} />
          <Children repository={repository} manifests={manifest.manifests} />
          <Layers repository={repository} layers={manifest.layers} />
          <SbomPackages repository={repository} layers={manifest.layers} />
          <Labels labels={manifest.labels} annotations={manifest.annotations} />
          <Referrers repository={repository} digest={manifest.digest} />
          <Steps history={manifest.history} />
          {caller.value?.admin && <Kept repository={repository} digest={manifest.digest} />}
          <RawManifest repository={repository} digest={manifest.digest} />
        </>
      )}
    </Shown>
  )
}

function About({ repository, manifest }: { repository: string; manifest: ShownManifest }) {
  const { image, subject, tags } = manifest
  return (
    <Card title="About">
      <Facts
        of={{
          ...imageFacts(manifest.labels, manifest.annotations),
          Size: <Bytes of={manifest.totalBytes} />,
          Platform: image?.platform && formatPlatform(image.platform),
          Pushed: <Time at={manifest.pushedAt} />,
          Created: image?.createdAt && <Time at={image.createdAt} />,
          Author: image?.author,
          Tags: tags.length > 0 && (
            <span class="chips">
              {tags.map((tag) => (
                <a key={tag} class="chip" href={manifestPath(repository, tag)}>
                  {tag}
                </a>
              ))}
            </span>
          ),
          Subject: subject && <a href={manifestPath(repository, subject)}>{shortDigest(subject)}</a>,
          'Media type': <code>{manifest.mediaType}</code>,
          'Artifact type': manifest.artifactType && <code>{manifest.artifactType}</code>,
        }}
      />
      {manifest.truncated && <p class="muted">Some parts are left out, because there are too many.</p>}
    </Card>
  )
}

function DeleteManifest({ repository, manifest }: { repository: string; manifest: ShownManifest }) {
  const { route } = useLocation()
  const { digest, tags } = manifest
  const params = { repository, reference: digest }
  const remove = async () => {
    const what = tags.length === 0 ? 'the manifest' : `the manifest with ${countOf(tags.length, 'tag')}`
    const isDone = await attemptIfSure(
      {
        title: 'Delete this manifest?',
        text: `This deletes ${what} from ${repository}. It can be restored from the deleted manifests of the repository.`,
        action: 'Delete the manifest',
      },
      () => change('delete', 'repositories/:repository/manifests/:reference', { params }),
      `Deleted ${what}`,
      () => change('post', 'repositories/:repository/manifests/:reference/restore', { params }),
    )
    if (isDone) route(repositoryPath(repository))
  }
  return (
    <button type="button" class="danger" onClick={remove}>
      <Trash2 aria-hidden /> Delete
    </button>
  )
}
