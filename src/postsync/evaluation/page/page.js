// One player at a time; a line shows in the picture of its sound where it is, and a click there goes to that moment.
const players = document.querySelectorAll("video, audio");
for (const track of document.querySelectorAll(".track")) {
  const player = track.querySelector("video, audio");
  const chart = track.querySelector(".timeline");
  if (!player || !chart) continue;
  const head = chart.querySelector(".playhead");
  const seconds = Number(chart.dataset.seconds);
  const show = () => {
    head.style.left = `${100 * Math.min(1, player.currentTime / seconds)}%`;
    if (!player.paused) requestAnimationFrame(show);
  };
  player.addEventListener("play", () => {
    for (const other of players) if (other !== player) other.pause();
    show();
  });
  player.addEventListener("seeked", show);
  chart.addEventListener("click", (event) => {
    const box = chart.getBoundingClientRect();
    player.currentTime = Math.max(0, (event.clientX - box.left) / box.width) * seconds;
  });
}
