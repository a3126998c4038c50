"use strict";
// The forward pass of HyperVAE in plain JavaScript: images D -> q(u|D), u -> H -> theta = B + U H V, the VAE of theta.
//
// It mirrors common/hypervae/{hypervae,bodies,density}.py and common/layers/generators.py name by name. Numbers lie in
// Float32Arrays, row by row: a batch of images is [count, height, width, channels]. `model` is what `openModel`
// returns; theta is {name: Float32Array}. The page runs this file in a worker (see `serve`), tests call it directly.

// ---- weights

/** Bytes of a base64 text that holds a gzip file. */
async function unpacked(base64) {
  const text = atob(base64.trim());
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < packed.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Numbers whose bytes lie in planes, all lowest bytes first: float16 if `width` is 2, float32 if it is 4. */
function fromPlanes(bytes, width) {
  const count = bytes.length / width,
    numbers = new Float32Array(count);
  if (width === 4) {
    const words = new Uint32Array(numbers.buffer);
    for (let plane = 0; plane < 4; plane++)
      for (let i = 0; i < count; i++) words[i] |= bytes[plane * count + i] << (8 * plane);
    return numbers;
  }
  for (let i = 0; i < count; i++) {
    const half = bytes[i] | (bytes[count + i] << 8);
    const exponent = (half >> 10) & 31,
      fraction = half & 1023,
      sign = half >> 15 ? -1 : 1;
    if (exponent === 31) numbers[i] = fraction ? NaN : sign * Infinity;
    else numbers[i] = sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : (fraction / 1024) * 2 ** -14);
  }
  return numbers;
}

/**
 * The model of a page. `config` is page.py's: settings, theta's shapes, and the arrays' names and shapes in the order
 * in which they lie in `base64`.
 */
async function openModel(config, base64) {
  const numbers = fromPlanes(await unpacked(base64), config.bytes);
  const weights = {};
  let start = 0;
  for (const [name, shape] of config.arrays) {
    const size = shape.reduce((product, side) => product * side, 1);
    weights[name] = numbers.subarray(start, start + size);
    start += size;
  }
  if (start !== numbers.length) throw new Error(`${numbers.length} weights where ${start} belong`);
  const model = { ...config, weights };
  model.meanTheta = thetaOfCode(model, weights["mean_code"]);
  return model;
}

/** The arrays whose names start with `prefix`, without it. */
function weightsOf(model, prefix) {
  const own = Object.entries(model.weights).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(prefix.length), value]));
}

// ---- products

/**
 * a [rows, inner] times b [inner, columns], plus `start` [rows, columns] or, where it is shorter, [columns].
 *
 * After a ReLU most of a row is zero: what is not is gathered, and five of b's rows are added at a time.
 */
function product(a, b, rows, inner, columns, start) {
  const out = new Float32Array(rows * columns);
  const values = new Float32Array(inner + 4),
    places = new Int32Array(inner + 4); // room for zeros behind the last
  for (let r = 0; r < rows; r++) {
    const to = r * columns;
    if (start) out.set(start.length === columns ? start : start.subarray(to, to + columns), to);
    let count = 0;
    for (let k = 0; k < inner; k++) {
      const value = a[r * inner + k];
      if (value === 0) continue;
      values[count] = value;
      places[count++] = k * columns;
    }
    values.fill(0, count, count + 4);
    for (let i = 0; i < count; i += 5) {
      const a0 = values[i],
        a1 = values[i + 1],
        a2 = values[i + 2],
        a3 = values[i + 3],
        a4 = values[i + 4];
      const b0 = places[i],
        b1 = places[i + 1],
        b2 = places[i + 2],
        b3 = places[i + 3],
        b4 = places[i + 4];
      for (let c = 0; c < columns; c++)
        out[to + c] += a0 * b[b0 + c] + a1 * b[b1 + c] + a2 * b[b2 + c] + a3 * b[b3 + c] + a4 * b[b4 + c];
    }
  }
  return out;
}

/** x [rows, inputs] through the layer `name` of theta. */
function linear(theta, name, x, rows) {
  const kernel = theta[`${name}/kernel`],
    bias = theta[`${name}/bias`];
  return product(x, kernel, rows, x.length / rows, bias.length, bias);
}

function relu(x) {
  for (let i = 0; i < x.length; i++) if (x[i] < 0) x[i] = 0;
  return x;
}

// ---- from u to theta

/** H of a code u, row by row; for the generator "concatenation" it is u itself. */
function codeOf(model, u) {
  if (model.generator === "concatenation") return Float32Array.from(u);
  const theta = weightsOf(model, "hyper_decoder/");
  return relu(linear(theta, "dense2", relu(linear(theta, "dense1", Float32Array.from(u), 1)), 1));
}

/** B + U H V of the arrays under `name`, B alone where nothing is generated; B is [rows, columns]. */
function generated(model, name, h, rows, columns) {
  const { [`${name}/base`]: base, [`${name}/left`]: left, [`${name}/right`]: right } = model.weights;
  if (!left) return base;
  const side = model.side;
  return product(product(left, h, rows, side, side), right, rows, side, columns, base);
}

const GENERATORS = {
  layerwise(model, h) {
    const theta = {};
    for (const [name, shape] of model.shapes) {
      const columns = shape[shape.length - 1],
        rows = shape.length > 1 ? shape[0] : 1;
      let weight = generated(model, `theta/${name}`, h, rows, columns);
      if (model.weights[`theta/${name}/scale/base`]) {
        const outputs = model.weights[`theta/${name}/scale/base`].length;
        const scale = generated(model, `theta/${name}/scale`, h, 1, outputs);
        weight = weight.map((value, i) => value * scale[(i % columns) % outputs]);
      }
      theta[name] = weight;
    }
    return theta;
  },
  block(model, h) {
    const { block, blocks } = model,
      side = model.side,
      size = block * block;
    const { "blocks/left": left, "blocks/right": right, "blocks/base": base } = model.weights;
    const flat = new Float32Array(blocks * size);
    for (let i = 0; i < blocks; i++) {
      const part = (array, length) => array.subarray(i * length, (i + 1) * length);
      const low = product(part(left, block * side), h, block, side, side);
      flat.set(product(low, part(right, side * block), block, side, block, part(base, size)), i * size);
    }
    return Object.fromEntries(
      model.shapes.map(([name, shape], i) => {
        const length = shape.reduce((all, n) => all * n, 1);
        return [name, flat.subarray(model.starts[i], model.starts[i] + length)];
      }),
    );
  },
  concatenation(model, u) {
    const theta = {};
    for (const [name, shape] of model.shapes) {
      const shared = model.weights[`theta/${name}/base`],
        columns = model.weights[`theta/${name}/of_u`];
      theta[name] = columns ? product(u, columns, 1, u.length, shape[0], shared) : shared;
    }
    return theta;
  },
};

function thetaOfCode(model, h) {
  return GENERATORS[model.generator](model, h);
}

/** theta of a code u: all weights of one VAE. */
function thetaOf(model, u) {
  return thetaOfCode(model, codeOf(model, u));
}

// ---- the VAE of theta

/** Patches of a stride-2 "same" 3x3 convolution: [count, 2h, 2w, c] to [count, h, w, 9c]. */
function patches3x3(x, count, height, width, channels) {
  const h = height / 2,
    w = width / 2,
    out = new Float32Array(count * h * w * 9 * channels);
  let to = 0;
  for (let n = 0; n < count; n++)
    for (let i = 0; i < h; i++)
      for (let j = 0; j < w; j++)
        for (let tap = 0; tap < 9; tap++, to += channels) {
          const row = 2 * i + Math.floor(tap / 3),
            column = 2 * j + (tap % 3);
          if (row >= height || column >= width) continue;
          const from = ((n * height + row) * width + column) * channels;
          for (let c = 0; c < channels; c++) out[to + c] = x[from + c];
        }
  return out;
}

/** The transpose of `patches3x3`: [count, h, w, 9c] to [count, 2h, 2w, c], overlaps summed, plus a bias [c]. */
function scatter3x3(x, count, h, w, bias) {
  const channels = bias.length,
    height = 2 * h,
    width = 2 * w,
    out = new Float32Array(count * height * width * channels);
  for (let i = 0; i < out.length; i += channels) out.set(bias, i);
  let from = 0;
  for (let n = 0; n < count; n++)
    for (let i = 0; i < h; i++)
      for (let j = 0; j < w; j++)
        for (let tap = 0; tap < 9; tap++, from += channels) {
          const row = 2 * i + Math.floor(tap / 3),
            column = 2 * j + (tap % 3);
          if (row >= height || column >= width) continue;
          const to = ((n * height + row) * width + column) * channels;
          for (let c = 0; c < channels; c++) out[to + c] += x[from + c];
        }
  return out;
}

/** Images [count, H, W] with zeros added, or cut off, to [count, height, width]. */
function resized(x, count, fromHeight, fromWidth, height, width) {
  const out = new Float32Array(count * height * width),
    rows = Math.min(height, fromHeight);
  const columns = Math.min(width, fromWidth);
  for (let n = 0; n < count; n++)
    for (let i = 0; i < rows; i++) {
      const from = (n * fromHeight + i) * fromWidth;
      out.set(x.subarray(from, from + columns), (n * height + i) * width);
    }
  return out;
}

/** The encoder's last hidden layer, [count, hidden], of images [count, H, W]. */
function featuresOf(model, theta, images, count) {
  const [height, width] = model.image,
    [h, w] = [Math.ceil(height / 4), Math.ceil(width / 4)];
  const first = theta["encoder/conv1/bias"].length;
  let x = patches3x3(resized(images, count, height, width, 4 * h, 4 * w), count, 4 * h, 4 * w, 1);
  x = relu(linear(theta, "encoder/conv1", x, count * 4 * h * w));
  x = relu(linear(theta, "encoder/conv2", patches3x3(x, count, 2 * h, 2 * w, first), count * h * w));
  return relu(linear(theta, "encoder/dense", x, count));
}

/** Mean and standard deviation of a posterior, each [count, dimensions]. */
function heads(theta, features, count) {
  const deviation = linear(theta, "encoder/log_var", features, count).map((logVariance) => Math.exp(0.5 * logVariance));
  return { mean: linear(theta, "encoder/mean", features, count), deviation };
}

/** q(z|x, theta) of images [count, H, W]. */
function encode(model, theta, images, count) {
  return heads(theta, featuresOf(model, theta, images, count), count);
}

/** Codes z [count, latent_dim] to Bernoulli logits [count, H, W]. */
function decode(model, theta, z, count) {
  const [height, width] = model.image,
    [h, w] = [Math.ceil(height / 4), Math.ceil(width / 4)];
  const first = theta["decoder/conv1/bias"].length,
    second = theta["decoder/unflatten/bias"].length / (h * w);
  let x = relu(linear(theta, "decoder/unflatten", relu(linear(theta, "decoder/dense", z, count)), count));
  x = product(x, theta["decoder/conv1/kernel"], count * h * w, second, 9 * first);
  x = relu(scatter3x3(x, count, h, w, theta["decoder/conv1/bias"]));
  x = product(x, theta["decoder/conv2/kernel"], count * 4 * h * w, first, 9);
  x = scatter3x3(x, count, 2 * h, 2 * w, theta["decoder/conv2/bias"]);
  return resized(x, count, 4 * h, 4 * w, height, width);
}

function probabilities(logits) {
  return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
}

/** The probability of each pixel, [count, H, W], that theta decodes codes z to. */
function decoded(model, theta, z, count) {
  return probabilities(decode(model, theta, z, count));
}

/** Images through encoder and decoder of theta, at the mean of q(z|x). */
function reconstructed(model, theta, images, count) {
  return decoded(model, theta, encode(model, theta, images, count).mean, count);
}

/** q(u|D) of a set of images [count, H, W]: mean and standard deviation, each [1, hyper_latent_dim]. */
function inferU(model, images, count) {
  const own = weightsOf(model, "hyper_encoder/"),
    [height, width] = model.image;
  if (model.summary === "draw") return encode(model, own, images.subarray(0, height * width), 1);
  const features = featuresOf(model, own, images, count),
    hidden = features.length / count;
  let pooled = new Float32Array(hidden);
  const largest = new Float32Array(hidden);
  for (let i = 0; i < features.length; i++) {
    pooled[i % hidden] += features[i] / count;
    largest[i % hidden] = Math.max(largest[i % hidden], features[i]);
  }
  if (model.summary === "set") {
    const both = Float32Array.from([...pooled, ...largest, Math.log(count)]);
    pooled = relu(linear(own, "pooling", both, 1));
  }
  return heads(own, pooled, 1);
}

// ---- code lengths

/** KL(q || N(0, I)) of row n of a posterior, nats. */
function klToPrior(q, n, dimensions) {
  let sum = 0;
  for (let i = n * dimensions; i < (n + 1) * dimensions; i++)
    sum += 0.5 * (q.mean[i] ** 2 + q.deviation[i] ** 2 - 1) - Math.log(q.deviation[i]);
  return sum;
}

/**
 * Lengths of binary images [count, H, W] under theta, nats: reconstruction and kl_z, each [count].
 * `noise` [draws, count, latent_dim] gives the draws of z, over which the reconstruction term is averaged.
 */
function codeLengths(model, theta, images, count, noise) {
  const dimensions = model.latent_dim,
    pixels = images.length / count,
    draws = noise.length / (count * dimensions);
  const q = encode(model, theta, images, count),
    reconstruction = new Float64Array(count);
  for (let draw = 0; draw < draws; draw++) {
    const offset = draw * count * dimensions;
    const logits = decode(
      model,
      theta,
      q.mean.map((mean, i) => mean + q.deviation[i] * noise[offset + i]),
      count,
    );
    for (let i = 0; i < logits.length; i++) {
      const logit = logits[i],
        softplus = Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit)));
      reconstruction[Math.floor(i / pixels)] += (softplus - images[i] * logit) / draws;
    }
  }
  const kl_z = Float64Array.from({ length: count }, (_, n) => klToPrior(q, n, dimensions));
  return { reconstruction, kl_z };
}

/** So many draws of N(0, 1), the same for the same seed (mulberry32, Box-Muller). */
function normals(number, seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return Float32Array.from(
    { length: number },
    () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

// ---- what the page asks for

const DRAWS = 16; // of z, for a code length
const NOISE_SEED = 2021;

/** How far theta is from the mean theta: root mean square of the difference over that of the mean theta itself. */
function relativeChange(model, theta) {
  let change = 0,
    size = 0;
  for (const [name] of model.shapes) {
    const own = theta[name],
      mean = model.meanTheta[name];
    for (let i = 0; i < own.length; i++) {
      change += (own[i] - mean[i]) ** 2;
      size += mean[i] ** 2;
    }
  }
  return Math.sqrt(change / size);
}

const ANSWERS = {
  /** Images [count, H, W] of codes z under theta(u), or the mean theta where no u is given; and some of theta. */
  show(model, { u, z, count }) {
    const theta = u ? thetaOf(model, u) : model.meanTheta;
    const filters = Float32Array.from(theta["decoder/conv2/kernel"]);
    return { images: decoded(model, theta, z, count), filters, change: relativeChange(model, theta) };
  },

  /** A user's VAE: q(u|D) of binary images, samples, reconstructions, mean lengths (nats an image) under three VAEs. */
  draw(model, { images, count, z, samples }) {
    const q = inferU(model, images, count),
      theta = thetaOf(model, q.mean);
    const noise = normals(DRAWS * count * model.latent_dim, NOISE_SEED);
    const share = klToPrior(q, 0, model.hyper_latent_dim) / count;
    const mean = (numbers) => numbers.reduce((sum, x) => sum + x / count, 0);
    const lengths = [
      ["yours", theta, share],
      ["plain", weightsOf(model, "plain/"), 0],
      ["mean", model.meanTheta, 0],
    ].map(([name, own, kl_u]) => {
      const { reconstruction, kl_z } = codeLengths(model, own, images, count, noise);
      return [name, { reconstruction: mean(reconstruction), kl_z: mean(kl_z), kl_u }];
    });
    return {
      mean: q.mean,
      deviation: q.deviation,
      lengths: Object.fromEntries(lengths),
      reconstructions: reconstructed(model, theta, images, count),
      samples: decoded(model, theta, z, samples),
    };
  },
};

/** In a worker: answers {id, kind, ...} with {id, answer} or {id, error}; the first message opens the model. */
function serve(scope) {
  let model;
  scope.onmessage = async ({ data: { id, kind, ...request } }) => {
    try {
      if (kind === "open") model = await openModel(request.config, request.base64);
      scope.postMessage({ id, answer: kind === "open" ? {} : ANSWERS[kind](model, request) });
    } catch (error) {
      scope.postMessage({ id, error: String(error) });
    }
  };
}
