# git: commit, merge, clone by path, file:// and git://, push, gc, fsck, rebase, stash, worktrees
cd /tmp
export GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z
git config --global user.email a@b
git config --global user.name n
git init -q -b m r && cd r && cp -r /usr/share/perl5 . && git add . && git commit -qm one
for i in 1 2 3 4 5; do echo $i >f && git add f && git commit -qm $i; done
git branch b HEAD~2 && git checkout -q b && echo b >g && git add g && git commit -qm b && git checkout -q m
git merge -q -m merge b && git log --oneline --graph
cd .. && git clone -q r c && git clone -q file:///tmp/r c2 && git clone -q --bare r d.git
cd c && echo z >z && git add z && git commit -qm z && git push -q ../d.git m && git gc -q && git fsck --no-progress
git repack -adfq --threads=2 && git diff HEAD~3 --stat && git stash && git grep -c sub | wc -l && git rebase -q HEAD~1
git archive HEAD | sha256sum
git blame f
git worktree add -q ../wt && git worktree list | wc -l
git daemon --base-path=/tmp --export-all --reuseaddr --listen=127.0.0.1 /tmp &
sleep 2
git clone -q git://127.0.0.1/r /tmp/gd && ls /tmp/gd
kill $!
git log --format=%H -1
